"""The lines of an export, made chunk by chunk: memory does not grow with the number of rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db.models import Count

from projects.models import Column, ColumnType
from rows.exporting.options import ExportOptions
from rows.filters import RowFilter
from rows.models import Assignment, Verbatim
from rows.selectors import assignments_live, row_counts, topic_counts, topic_list
from topics.models import Topic

CHUNK_ROWS = 5_000
WORDS = {1: "positive", 0: "neutral", -1: "negative"}
Line = list[Any]


def table_lines(
    *, column: Column, row_filter: RowFilter, options: ExportOptions
) -> tuple[Line, Iterator[list[Line]]]:
    """Return the header and an iterator over chunks of lines."""
    if options.content == "summary":
        return _summary(column, row_filter)
    rows = _Rows(column, row_filter, options)
    return rows.header(), rows.chunks()


def table_size(*, row_filter: RowFilter, options: ExportOptions) -> int:
    """Return how many rows the export reads, for its progress."""
    if options.content == "summary":
        return 1
    return row_filter.apply(group=False).count()


def cell_value(value: Any) -> Any:
    """Return a stored cell as one plain value: options of a multi select side by side, yes and no as words."""
    if isinstance(value, list):
        return "; ".join(str(one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else value


def _moment(value: datetime | None) -> str:
    return value.replace(microsecond=0).isoformat() if value else ""


class _Rows:
    """One line per row, in the order of upload."""

    def __init__(self, column: Column, row_filter: RowFilter, options: ExportOptions) -> None:
        self.column, self.row_filter, self.options = column, row_filter, options
        self.topics: list[Topic] = list(topic_list(column=column))
        self.by_pk = {topic.pk: topic for topic in self.topics}
        self.place = {topic.pk: index for index, topic in enumerate(self.topics)}
        others = (
            list(column.project.columns.exclude(pk=column.pk).order_by("position"))
            if options.other_columns
            else []
        )
        self.others = others
        self.other_texts = [other.pk for other in others if other.type == ColumnType.TEXT_TO_ANALYZE]

    def header(self) -> Line:
        header: Line = ["Row", *(other.name for other in self.others), self.column.name, "Overall sentiment"]
        if self.options.layout == "columns":
            names = [f"{topic.category.label}: {topic.label}" for topic in self.topics]
            header += names
            if self.options.probabilities:
                header += [f"{name} (probability)" for name in names]
        else:
            header.append("Topics" if self.options.layout == "list" else "Topic codes")
            if self.options.probabilities:
                header.append("Probabilities")
        if self.options.metadata:
            header += ["Reviewed", "Reviewed by", "Reviewed at", "Highlighted", "Certainty"]
        return header

    def chunks(self) -> Iterator[list[Line]]:
        query = self.row_filter.apply(group=False).order_by("row_number")
        names = ["pk", "row_id", "row_number", "text", "sentiment"]
        if self.others:
            names.append("row__values")
        if self.options.metadata:
            names += ["is_reviewed", "reviewed_by__username", "reviewed_at", "is_highlighted", "certainty"]
        last = -1
        while True:
            # Keyset chunks: no cursor stays open between them, so a long export holds back nobody.
            found = list(query.filter(row_number__gt=last).values_list(*names)[:CHUNK_ROWS])
            if not found:
                return
            last = found[-1][2]
            yield self._lines(found)
            if len(found) < CHUNK_ROWS:
                return

    def _lines(self, found: list[tuple[Any, ...]]) -> list[Line]:
        assigned = self._assigned([row[0] for row in found])
        texts = self._texts([row[1] for row in found])
        lines: list[Line] = []
        for pk, row_id, number, text, sentiment, *more in found:
            line: Line = [number]
            if self.others:
                cells = more[0]
                for other in self.others:
                    if other.type == ColumnType.TEXT_TO_ANALYZE:
                        line.append(texts.get((row_id, other.pk), ""))
                    else:
                        line.append(cell_value(cells.get(other.ref)))
            line += [text, WORDS.get(sentiment, "")]
            line += self._topic_cells(assigned[pk])
            if self.options.metadata:
                is_reviewed, reviewed_by, reviewed_at, is_highlighted, certainty = more[-5:]
                line += [
                    "yes" if is_reviewed else "no",
                    reviewed_by or "",
                    _moment(reviewed_at),
                    "yes" if is_highlighted else "no",
                    "" if is_reviewed else round(certainty, 4),  # of the AI; a person was certain
                ]
            lines.append(line)
        return lines

    def _topic_cells(self, assigned: list[tuple[int, int | None, float | None]]) -> Line:
        if self.options.layout == "columns":
            cells: Line = [""] * len(self.topics)
            chances: Line = [""] * len(self.topics) if self.options.probabilities else []
            for topic, sentiment, probability in assigned:
                place = self.place[topic]
                cells[place] = 1 if sentiment is None else WORDS[sentiment]
                if chances and probability is not None:
                    chances[place] = round(probability, 4)
            return cells + chances
        if self.options.layout == "codes":
            what = "; ".join(str(self.by_pk[topic].code(sentiment)) for topic, sentiment, _ in assigned)
        else:
            what = "; ".join(self._label(topic, sentiment) for topic, sentiment, _ in assigned)
        if not self.options.probabilities:
            return [what]
        return [what, "; ".join("" if chance is None else f"{chance:.4f}" for _, _, chance in assigned)]

    def _label(self, pk: int, sentiment: int | None) -> str:
        topic = self.by_pk[pk]
        name = f"{topic.category.label}: {topic.label}"
        return name if sentiment is None else f"{name} ({WORDS[sentiment]})"

    def _assigned(self, verbatims: list[int]) -> dict[int, list[tuple[int, int | None, float | None]]]:
        found: dict[int, list[tuple[int, int | None, float | None]]] = {pk: [] for pk in verbatims}
        first, last = min(verbatims), max(verbatims)
        if last - first < 8 * len(verbatims):
            # Rows of one import lie side by side: one range of the index instead of thousands of look-ups.
            query = Assignment.objects.filter(verbatim__gte=first, verbatim__lte=last)
        else:
            query = Assignment.objects.filter(verbatim__in=verbatims)
        for verbatim, topic, sentiment, probability in query.order_by(
            "verbatim", "position", "-probability", "id"
        ).values_list("verbatim", "topic", "sentiment", "probability"):
            if verbatim in found and topic in self.by_pk:
                found[verbatim].append((topic, sentiment, probability))
        return found

    def _texts(self, rows: list[int]) -> dict[tuple[int, int], str]:
        if not self.other_texts:
            return {}
        query = Verbatim.objects.filter(row__in=rows, column__in=self.other_texts).order_by()
        return {(row, column): text for row, column, text in query.values_list("row", "column", "text")}


def _summary(column: Column, row_filter: RowFilter) -> tuple[Line, Iterator[list[Line]]]:
    """One line per category, topic and sentiment version: how many rows, and their share of rows with text."""
    header = ["Level", "Category", "Topic", "Sentiment", "Code", "Rows", "Share of rows with text"]
    numbers = row_counts(column=column, row_filter=row_filter)
    n_filled = numbers["n_rows"] - numbers["n_empty"]
    counts = topic_counts(column=column, row_filter=row_filter)
    topics = list(topic_list(column=column))
    per_category = _category_counts(column, row_filter)

    def share(n: int) -> float:
        return round(n / n_filled, 6) if n_filled else 0

    lines: list[Line] = [
        ["All rows", "", "", "", "", numbers["n_rows"], ""],
        ["Rows with text", "", "", "", "", n_filled, share(n_filled)],
        ["Rows without topic", "", "", "", "", numbers["n_without_topic"], share(numbers["n_without_topic"])],
    ]
    seen: set[int] = set()
    for topic in topics:
        category = topic.category
        if category.pk not in seen:
            seen.add(category.pk)
            n = per_category.get(category.pk, 0)
            lines.append(["Category", category.label, "", "", "", n, share(n)])
        own = counts.get(topic.pk, {})
        n = own.get("all", 0)
        code = "" if topic.sentiment_enabled else topic.code_neutral
        lines.append(["Topic", category.label, topic.label, "", code, n, share(n)])
        if topic.sentiment_enabled:
            for sentiment in (1, 0, -1):
                n = own.get(WORDS[sentiment], 0)
                label = topic.sentiment_label(sentiment)
                lines.append(
                    ["Version", category.label, label, WORDS[sentiment], topic.code(sentiment), n, share(n)]
                )
    return header, iter([lines])


def _category_counts(column: Column, row_filter: RowFilter) -> dict[int, int]:
    """Return rows per category: a row with two topics of a category counts once."""
    query = assignments_live(column=column, row_filter=row_filter)
    return dict(query.values_list("topic__category").annotate(n=Count("verbatim", distinct=True)))
