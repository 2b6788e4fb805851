"""Input of the import wizard and the export dialog made into clean values."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf.locale import LANG_INFO
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from projects.forms import TagsField
from projects.models import NAME_CHARS, ColumnType
from rows.exporting.options import CONTENTS, FORMATS, LAYOUTS
from rows.importing.plan import SKIP, ColumnPlan
from rows.services.imports import MAX_PLACEHOLDERS, PLACEHOLDER_CHARS

PASTE_CHARS = 5_000_000
LANGUAGE_CHOICES = sorted(
    ((code, info["name"]) for code, info in LANG_INFO.items() if len(code) == 2 and "name" in info),
    key=lambda pair: pair[1],
)


class UploadForm(forms.Form):
    """A file, or pasted text."""

    file = forms.FileField(label=_("File"), required=False, allow_empty_file=True, max_length=255)
    text = forms.CharField(
        label=_("Text"),
        required=False,
        max_length=PASTE_CHARS,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8}),
    )

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if not self.errors and not values.get("file") and not (values.get("text") or "").strip():
            self.add_error("file", _("No file was chosen. Choose a CSV or Excel file, or paste text below."))
        return values


class OrganiseForm:
    """Name, wording, type and analyse switch of every column; as many fields as the file has columns."""

    def __init__(self, facts: dict[str, Any], plan: list[ColumnPlan], data: Any = None) -> None:
        self.facts = {fact["index"]: fact for fact in facts["columns"]}
        self.plan = plan
        self.errors: dict[str, list[str]] = {}
        if data is not None:
            self._read(data)

    def _read(self, data: Any) -> None:
        for column in self.plan:
            prefix = f"c{column.index}-"
            if f"{prefix}type" not in data:
                continue
            kind, _separator, style = data[f"{prefix}type"].partition(":")
            column.name = data.get(f"{prefix}name", column.name)
            column.wording = data.get(f"{prefix}wording", "").strip()
            column.type = ColumnType.TEXT_TO_ANALYZE if data.get(f"{prefix}analyse") else kind
            column.style = "" if column.is_text_to_analyze else style

    def columns(self) -> list[dict[str, Any]]:
        """Return what the page shows per column."""
        shown = []
        for column in self.plan:
            fact = self.facts[column.index]
            # What the column becomes once the switch is off.
            other = ColumnType.TEXT.value if column.is_text_to_analyze else column.type
            month_first = other == ColumnType.DATE and column.style == "mdy" and fact["dates_are_ambiguous"]
            value = f"{other}:mdy" if month_first else other
            shown.append(
                {
                    "plan": column,
                    "fact": fact,
                    "type_value": value,
                    "types": self._types(fact),
                    "errors": self.errors.get(str(column.index), []),
                    "is_suggested": fact["type"] == column.type,
                }
            )
        return shown

    def _types(self, fact: dict[str, Any]) -> list[tuple[str, Any]]:
        choices: list[tuple[str, Any]] = []
        for kind in ColumnType:
            if kind == ColumnType.TEXT_TO_ANALYZE:
                continue
            if kind == ColumnType.DATE and fact["dates_are_ambiguous"]:
                choices.append((kind.value, _("Date, day first (31/12/2026)")))
                choices.append((f"{kind.value}:mdy", _("Date, month first (12/31/2026)")))
            else:
                choices.append((kind.value, kind.label))
        choices.append((SKIP, _("Leave out")))
        return choices


class PlaceholdersField(forms.MultiValueField):
    """Up to three texts that count as empty."""

    def __init__(self, **kwargs: Any) -> None:
        parts = [forms.CharField(required=False, max_length=PLACEHOLDER_CHARS) for _n in range(MAX_PLACEHOLDERS)]
        super().__init__(
            fields=parts, require_all_fields=False, required=False, widget=PlaceholdersWidget(), **kwargs
        )

    def compress(self, data_list: list[str]) -> list[str]:
        return list(dict.fromkeys(word.strip() for word in data_list if word and word.strip()))


class PlaceholdersWidget(forms.MultiWidget):
    def __init__(self) -> None:
        super().__init__(
            [
                forms.TextInput(attrs={"maxlength": PLACEHOLDER_CHARS, "autocomplete": "off"})
                for _n in range(MAX_PLACEHOLDERS)
            ]
        )

    def decompress(self, value: list[str] | None) -> list[str]:
        return [*(value or []), "", "", ""][:MAX_PLACEHOLDERS]


class ImportForm(forms.Form):
    name = forms.CharField(label=_("Project name"), max_length=NAME_CHARS)
    description = forms.CharField(
        label=_("Description"), required=False, max_length=2_000, widget=forms.Textarea(attrs={"rows": 3})
    )
    tags = TagsField(label=_("Tags"))
    language = forms.ChoiceField(
        label=_("Language of the topics"),
        choices=LANGUAGE_CHOICES,
        initial="en",
        help_text=_("What labels are written in."),
    )
    placeholders = PlaceholdersField(
        label=_("Texts that count as empty"),
        help_text=_(
            "For example -99. Blank cells are empty anyway; “N/A” and “none” are answers unless named here."
        ),
    )
    bad_cells = forms.ChoiceField(required=False, choices=[("", ""), ("empty", "empty")])


class ExportForm(forms.Form):
    content = forms.ChoiceField(label=_("What"), choices=list(CONTENTS.items()), initial="rows")
    format = forms.ChoiceField(label=_("Format"), choices=list(FORMATS.items()), initial="csv")
    layout = forms.ChoiceField(
        label=_("Topics as"), choices=list(LAYOUTS.items()), initial="columns", required=False
    )
    other_columns = forms.BooleanField(label=_("Other columns of the table"), required=False, initial=True)
    metadata = forms.BooleanField(
        label=_("Reviewed, by whom, when, highlighted, certainty"), required=False, initial=True
    )
    probabilities = forms.BooleanField(label=_("Probability of each topic"), required=False)
    bom = forms.BooleanField(
        label=_("Byte order mark, so that Excel reads a CSV file as UTF-8"), required=False, initial=True
    )
    query = forms.CharField(required=False, max_length=5_000, widget=forms.HiddenInput())

    def clean_layout(self) -> str:
        return self.cleaned_data["layout"] or "columns"


def errors_of(error: ValidationError) -> dict[str, list[str]]:
    """Return the messages of a ValidationError per field."""
    return error.message_dict if hasattr(error, "error_dict") else {"__all__": error.messages}
