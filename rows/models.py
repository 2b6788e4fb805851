"""Rows, verbatims and the topics assigned to them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from projects.models import Change, Column, Job, Project
from topics.models import Sentiment, Topic


class Row(models.Model):
    """A line of the table. `values` holds the cells of all columns that are not analysed, by column ref."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="rows", db_index=False)  # see the constraint
    number = models.PositiveIntegerField()  # upload index, from 1
    values: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    modified_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="row_number_unique_in_project")]
        indexes = [
            models.Index(fields=["project"], condition=Q(deleted_at__isnull=False), name="row_deleted"),
            models.Index(fields=["project", "created_at"], name="row_by_time"),
        ]

    def __str__(self) -> str:
        return _("Row %(number)s") % {"number": self.number}


def has_deleted_rows(project_id: int) -> bool:
    """Say whether a project has deleted rows that could still be restored; most have none."""
    return Row.objects.filter(project=project_id, deleted_at__isnull=False).exists()


class VerbatimQuerySet(models.QuerySet["Verbatim"]):
    def live(self, column: Column) -> VerbatimQuerySet:
        """Return the verbatims of a column whose rows are not deleted; joins the rows only where some are."""
        query = self.filter(column=column)
        return query.filter(row__deleted_at=None) if has_deleted_rows(column.project_id) else query

    def group_of(self, verbatim: Verbatim) -> VerbatimQuerySet:
        """Return a verbatim and its duplicates; empty texts are no duplicates."""
        query = self.filter(column=verbatim.column_id)
        if verbatim.is_empty or verbatim.group_size == 1:
            return query.filter(pk=verbatim.pk)
        return query.filter(fingerprint=verbatim.fingerprint, group_size__gt=1)  # as the index has it


class Verbatim(models.Model):
    """The cell of a row in a text-to-analyze column.

    `row_number` repeats `row.number` so that the row browser reads one index. Verbatims of a column
    with the same `fingerprint` are duplicates; the first of them is the group's head, the only one
    shown while duplicates are grouped, and `group_size` says how many there are.
    """

    row = models.ForeignKey(Row, models.CASCADE, related_name="verbatims", db_index=False)
    column = models.ForeignKey(Column, models.CASCADE, related_name="verbatims", db_index=False)
    row_number = models.PositiveIntegerField()
    text = models.TextField()
    translated_text = models.TextField(null=True, blank=True)  # noqa: DJ001  (null: no translation; "": empty one)
    language = models.CharField(max_length=8, blank=True)
    fingerprint = models.BinaryField(max_length=16)  # of the normalised text: duplicates
    digest = models.BinaryField(max_length=16)  # of the exact text: key of its embedding
    is_empty = models.BooleanField(default=False)
    is_group_head = models.BooleanField(default=True)
    group_size = models.PositiveIntegerField(default=1)
    is_reviewed = models.BooleanField(default=False)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )
    reviewed_at = models.DateTimeField(null=True, blank=True)
    is_audit = models.BooleanField(default=False)  # served at random: part of the unbiased sample
    is_highlighted = models.BooleanField(default=False)
    certainty = models.FloatField(default=0.0)  # of the AI: 0 least, 1 most; 0 before the first update
    sentiment = models.SmallIntegerField(null=True, blank=True, choices=Sentiment.choices)
    revision = models.PositiveIntegerField(default=0)
    # The revision that a person made last: a save based on an older one is a conflict.
    person_revision = models.PositiveIntegerField(default=0)

    objects = VerbatimQuerySet.as_manager()

    class Meta:
        ordering = ["row_number"]
        constraints = [
            models.UniqueConstraint(fields=["row", "column"], name="verbatim_once_per_cell"),
            models.CheckConstraint(
                condition=Q(sentiment__in=Sentiment.values) | Q(sentiment=None),
                name="verbatim_sentiment_known",
            ),
        ]
        indexes = [
            models.Index(fields=["column", "row_number"], name="verbatim_by_number"),
            models.Index(
                fields=["column", "row_number"],
                condition=Q(is_group_head=True),
                name="verbatim_heads_by_number",
            ),
            models.Index(fields=["column", "is_reviewed", "certainty", "id"], name="verbatim_by_certainty"),
            # Most verbatims are alone: without them imports and AI updates write one index less.
            models.Index(
                fields=["column", "fingerprint"], condition=Q(group_size__gt=1), name="verbatim_by_fingerprint"
            ),
            models.Index(
                fields=["column", "-reviewed_at"],
                condition=Q(is_reviewed=True),
                name="verbatim_by_review_time",
            ),
            # What is rare: the rows in their order would be read to the end to find fifty.
            models.Index(
                fields=["column", "row_number"], condition=Q(is_highlighted=True), name="verbatim_highlighted"
            ),
            models.Index(fields=["column", "row_number"], condition=Q(is_empty=True), name="verbatim_empty"),
            models.Index(
                fields=["column", "language", "row_number"],
                condition=Q(language__gt=""),
                name="verbatim_by_language",
            ),
        ]

    def __str__(self) -> str:
        return self.text[:80]


class ViewOptions(models.Model):
    """How a person wants to see the rows of a column."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    column = models.ForeignKey(Column, models.CASCADE, related_name="+")
    shown: models.JSONField[list[int], list[int]] = models.JSONField(default=list)  # other columns, in order
    is_grouped = models.BooleanField(default=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "column"], name="view_options_once_per_person")]

    def __str__(self) -> str:
        return f"{self.user} in {self.column}"


class AssignmentSource(models.TextChoices):
    AI = "ai", _("AI")
    PERSON = "person", _("Person")
    KEYWORD = "keyword", _("Keyword")
    IMPORT = "import", _("Import")


class Assignment(models.Model):
    """A topic on a verbatim, suggested by the AI or decided by a person."""

    verbatim = models.ForeignKey(Verbatim, models.CASCADE, related_name="assignments", db_index=False)
    topic = models.ForeignKey(Topic, models.CASCADE, related_name="assignments", db_index=False)
    sentiment = models.SmallIntegerField(null=True, blank=True, choices=Sentiment.choices)
    source = models.CharField(max_length=8, choices=AssignmentSource.choices)
    probability = models.FloatField(null=True, blank=True)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["verbatim", "topic"], name="assignment_once_per_topic"),
            models.CheckConstraint(
                condition=Q(sentiment__in=Sentiment.values) | Q(sentiment=None),
                name="assignment_sentiment_known",
            ),
        ]
        indexes = [
            models.Index(fields=["topic", "sentiment", "verbatim"], name="assignment_by_topic"),
            # Those that no AI made are few.
            models.Index(
                fields=["topic", "verbatim"], condition=~Q(source=AssignmentSource.AI), name="assignment_by_hand"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic} on {self.verbatim_id}"


class FocusLease(models.Model):
    """A row that focus mode put in front of a person, or holds ready for them, until `expires_at`.

    Not a lock: it only keeps focus mode from serving the row to somebody else meanwhile. A review needs none.
    """

    verbatim = models.OneToOneField(Verbatim, models.CASCADE, primary_key=True, related_name="focus_lease")
    column = models.ForeignKey(Column, models.CASCADE, related_name="+", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["column", "expires_at"], name="focus_lease_by_column")]

    def __str__(self) -> str:
        return f"{self.verbatim_id} for {self.user_id} until {self.expires_at:%H:%M:%S}"


class SearchText(models.Model):
    """The text of a verbatim once more, beside it and in small letters: here PostgreSQL keeps the index of its
    trigrams. (ILIKE would turn each text it looks at into small letters, which takes a tenth of a millisecond.)

    Not an index of `Verbatim` itself: the AI rewrites those by the hundred thousand, and each new version
    of a row would be entered under each of its trigrams again.
    """

    # Without constraints in the database: checking each of a million rows costs more than writing it.
    verbatim = models.OneToOneField(
        Verbatim, models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    column = models.ForeignKey(Column, models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    text = models.TextField()

    def __str__(self) -> str:
        return self.text[:80]


class TextBlock(models.Model):
    """Which letters, and pairs of letters, a hundred texts in a row hold: where a search need not look.

    Trigrams need three letters; for "ok" and ":-)" all texts of a column would be read. `pairs` are in small
    letters and separated; PostgreSQL has an index of them.
    """

    N_ROWS = 100
    SEPARATOR = "\x1f"

    column = models.ForeignKey(Column, models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    first_number = models.PositiveIntegerField()  # the number of the first row: 1, 101, 201, ...
    pairs = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["column", "first_number"], name="text_block_by_row")]

    def __str__(self) -> str:
        return f"{self.first_number} – {self.first_number + self.N_ROWS - 1}"

    @classmethod
    def first_of(cls, number: int) -> int:
        """Return the first row number of the block that a row is in."""
        return number - (number - 1) % cls.N_ROWS

    @classmethod
    def numbers(cls, first: int) -> range:
        return range(first, first + cls.N_ROWS)


class Cell(models.Model):
    """A cell of a large table as numbers and short words that an index can order: made from `Row.values`.

    Numbers and yes / no (1, 0) are `number`, the rest is `word`; an empty cell has neither, one with several
    options is several. The cell of a text-to-analyze column holds the length of its text. Rows are named by
    their number in the project.
    """

    WORD_CHARS = 100

    column = models.ForeignKey(Column, models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    row_number = models.PositiveIntegerField()
    number = models.FloatField(null=True)
    word = models.CharField(max_length=WORD_CHARS, null=True)  # noqa: DJ001  (null is not indexed)
    # The whole of a cell that people typed freely, in small letters: PostgreSQL keeps an index of its trigrams.
    text = models.TextField(null=True)  # noqa: DJ001  (null is not indexed)

    class Meta:
        indexes = [
            models.Index(fields=["column", "row_number"], name="cell_by_row"),
            models.Index(
                fields=["column", "number", "row_number"],
                condition=Q(number__isnull=False),
                name="cell_by_number",
            ),
            models.Index(
                fields=["column", "word", "row_number"], condition=Q(word__isnull=False), name="cell_by_word"
            ),
            models.Index(
                fields=["column", "row_number"],
                condition=Q(number__isnull=True, word__isnull=True),
                name="cell_blank",
            ),
        ]

    def __str__(self) -> str:
        return str(self.word if self.number is None else self.number)


class IndexedColumn(models.Model):
    """Says that the cells (and on PostgreSQL the texts) of all rows of a column are in the tables above."""

    column = models.OneToOneField(Column, models.CASCADE, primary_key=True, related_name="+")
    built_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return str(self.column)


def indexed_columns(column_ids: list[int]) -> set[int]:
    """Return which of the columns have their cells and texts in an index; small tables need none."""
    return set(IndexedColumn.objects.filter(column__in=column_ids).values_list("column", flat=True))


class SavedFilter(models.Model):
    """A filter under a name: its query string. Its owner's, or shared with everybody in the project."""

    NAME_CHARS = 80

    column = models.ForeignKey(Column, models.CASCADE, related_name="saved_filters")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    name = models.CharField(max_length=NAME_CHARS)
    query = models.TextField()
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    modified_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["column", "owner", "name"],
                condition=Q(deleted_at=None),
                name="saved_filter_name_once_per_person",
            )
        ]

    def __str__(self) -> str:
        return self.name


class UploadState(models.TextChoices):
    UPLOADED = "uploaded", _("Uploaded")
    ORGANISED = "organised", _("Organised")
    SUBMITTED = "submitted", _("Submitted")


class Upload(models.Model):
    """A file on its way through the import wizard. Its plan says what each column becomes."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="uploads")
    file_name = models.CharField(max_length=255)
    path = models.CharField(max_length=500)
    size_bytes = models.PositiveBigIntegerField()
    state = models.CharField(max_length=16, choices=UploadState.choices, default=UploadState.UPLOADED)
    # What was found in the file: format, encoding, separator, columns with types, samples, counts.
    facts: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    # What the person chose: per column name, wording, type; project name, description, tags, language.
    plan: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    project = models.ForeignKey(Project, models.SET_NULL, null=True, blank=True, related_name="uploads")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return self.file_name


class BulkAction(models.Model):
    """One act on many rows: what was asked for, which rows, how far it came. Its `parts` are the inverse.

    `selected` holds the ids as they were when the work began, packed; so the work can be taken up again where
    a killed worker left it. `token` comes with the dialog: the same form sent twice is one act.
    """

    column = models.ForeignKey(Column, models.CASCADE, related_name="bulk_actions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    token = models.CharField(max_length=32, unique=True)
    options: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    selection: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    n_expected = models.PositiveIntegerField(null=True, blank=True)  # what the dialog said would change
    selected = models.BinaryField(null=True, blank=True)
    n_selected = models.PositiveIntegerField(default=0)
    position = models.PositiveIntegerField(default=0)  # in `selected`: what lies before it is done
    n_changed = models.PositiveIntegerField(default=0)
    n_left_alone = models.PositiveIntegerField(default=0)  # by the undoing: changed by somebody since
    is_counted = models.BooleanField(default=False)  # as one review, towards the next AI update
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="+")  # the last one
    change = models.OneToOneField(Change, models.SET_NULL, null=True, blank=True, related_name="bulk")
    created_at = models.DateTimeField(default=timezone.now)  # also the moment of deletion of the rows it deletes

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["column", "-id"], name="bulk_by_column")]

    def __str__(self) -> str:
        return f"Bulk action {self.pk}"


class BulkPart(models.Model):
    """What one batch of a bulk action changed, packed (rows/bulk/packing.py). Ids lie between first and last."""

    bulk = models.ForeignKey(BulkAction, models.CASCADE, related_name="parts", db_index=False)
    number = models.PositiveIntegerField()
    first_id = models.PositiveBigIntegerField()
    last_id = models.PositiveBigIntegerField()
    n_rows = models.PositiveIntegerField()
    data = models.BinaryField()
    is_undone = models.BooleanField(default=False)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["bulk", "number"], name="bulk_part_number_unique")]

    def __str__(self) -> str:
        return f"Part {self.number} of {self.bulk_id}"


class TopicMove(models.Model):
    """What one act on the topic collection (merge, combine, split, sentiment on) changed on rows, packed.

    `data` is the inverse (rows/moves/record.py). Undoing such an act makes a move, too, so that the moves of a
    column tell which revisions of a row are not a person's decision about that row.
    """

    column = models.ForeignKey(Column, models.CASCADE, related_name="topic_moves")
    n_rows = models.PositiveIntegerField()
    data = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"Move {self.pk}"
