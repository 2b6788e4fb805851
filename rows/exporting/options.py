"""What a person can choose about an export."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from django.utils.translation import gettext_lazy as _

from topicassign.errors import ApplicationError

FORMATS = {"csv": "CSV", "xlsx": "Excel (.xlsx)"}
CONTENTS = {"rows": _("Rows"), "summary": _("Summary")}
LAYOUTS = {
    "columns": _("One column per topic"),
    "list": _("One column with a list of topics"),
    "codes": _("Topic codes"),
}


@dataclass(frozen=True)
class ExportOptions:
    """`query` is the query string of the view: the same rows are exported, each of them, never grouped."""

    format: str = "csv"
    content: str = "rows"
    layout: str = "columns"
    other_columns: bool = True
    probabilities: bool = False
    metadata: bool = True
    bom: bool = True
    query: str = ""

    def __post_init__(self) -> None:
        for name, known in (("format", FORMATS), ("content", CONTENTS), ("layout", LAYOUTS)):
            if getattr(self, name) not in known:
                raise ApplicationError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}.")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ExportOptions:
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
