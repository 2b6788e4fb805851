"""The ways to get a topic collection: the choices of the dialog "Topics from …".

An app adds its own in `ready()`: `way_add(Way(...), before="file")`. The address takes the column's id, asks
whatever it has to ask in a dialog, and ends in the preview of topics/views_codebook.py or in an act of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Way:
    name: str
    url_name: str
    icon: str
    title: str | Promise
    text: str | Promise
    is_page: bool = False  # leads to a page instead of a dialog


WAYS: list[Way] = [
    Way(
        "template",
        "topics:templates",
        "layers",
        _("A template"),
        _("Collections for customer feedback, employee surveys, reviews and more, in English and German."),
    ),
    Way(
        "file",
        "topics:codebook_import",
        "file-up",
        _("A file"),
        _("A codebook in Excel, CSV or JSON, from here or from anywhere else."),
    ),
    Way(
        "project",
        "topics:from_project",
        "copy",
        _("Another project"),
        _("The topics of another text column that you may see, without its rows."),
    ),
    Way(
        "learning",
        "topics:learning",
        "link",
        _("Another project and what its AI has learned"),
        _("Its reviews are further, weaker examples here; missing topics can come along. No text is copied."),
    ),
]


def way_add(way: Way, *, before: str = "") -> None:
    """Add a choice to the dialog, before another one or at the end; one that is there already is replaced."""
    WAYS[:] = [one for one in WAYS if one.name != way.name]
    places = [place for place, one in enumerate(WAYS) if one.name == before]
    WAYS.insert(places[0] if places else len(WAYS), way)
