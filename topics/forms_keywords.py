"""The field for keywords: one on each line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from topics.keywords import MAX_CHARS, Problem, keywords_check, keywords_refused

MAX_INPUT_CHARS = 200 * MAX_CHARS


class KeywordsField(forms.CharField):
    """Lines of text made into a list of keywords; says of each line what is wrong with it.

    `stored` are the keywords that are there already: left as they are they are accepted, whatever is wrong.
    """

    def __init__(self, **options: Any) -> None:
        self.stored: Sequence[str] = []
        super().__init__(
            label=gettext_lazy("Keywords"),
            required=False,
            max_length=MAX_INPUT_CHARS,
            help_text=gettext_lazy(
                "One per line: a word or phrase, or a regular expression such as /parcels?/i. Rows with one of "
                "them get this topic until somebody reviews them."
            ),
            widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "autocapitalize": "none"}),
            **options,
        )

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        lines = (super().clean(value) or "").splitlines()
        if lines == list(self.stored):
            return lines
        cleaned, problems = keywords_check(lines)
        if problems:
            raise ValidationError([problem_text(one) for one in problems[:10]])
        if message := keywords_refused(cleaned):
            raise ValidationError(message)
        return cleaned


def problem_text(problem: Problem) -> str:
    """Return a sentence about a keyword with the line it is on."""
    return _("Line %(line)s, %(message)s") % {"line": problem.line, "message": problem.message}
