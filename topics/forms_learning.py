"""What a person chooses about learning from another project."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from topics.forms import ServiceForm


class LearningForm(ServiceForm):
    """The column to learn from; whether the person may read it is for the selectors to say."""

    source = forms.IntegerField(
        label=_("Learn from"),
        min_value=1,
        max_value=2**63 - 1,
        error_messages={"required": _("Choose a column."), "invalid": _("Choose a column.")},
    )
    with_topics = forms.BooleanField(required=False)
