"""Projects, their columns and people; background jobs; the history of changes."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.core.validators import MaxLengthValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

NAME_CHARS = 100


class Role(models.TextChoices):
    """What a person may do in a project; each role includes the ones before it."""

    VIEWER = "viewer", _("Viewer")
    ANALYST = "analyst", _("Analyst")
    ADMIN = "admin", _("Admin")

    @property
    def rank(self) -> int:
        return list(Role).index(self)

    @property
    def word(self) -> str:
        """Return the role as it reads inside a sentence; lower case is not enough in every language."""
        return {"viewer": gettext("viewer"), "analyst": gettext("analyst"), "admin": gettext("admin")}[self.value]


class ProjectState(models.TextChoices):
    IMPORTING = "importing", _("Importing")
    READY = "ready", _("Ready")


class Project(models.Model):
    """One uploaded table."""

    name = models.CharField(max_length=NAME_CHARS)
    description = models.TextField(blank=True, validators=[MaxLengthValidator(2_000)])
    language = models.CharField(max_length=8, default="en")
    tags = models.JSONField(default=list, blank=True)
    placeholders = models.JSONField(default=list, blank=True)  # up to three strings that count as empty
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="owned_projects")
    state = models.CharField(max_length=16, choices=ProjectState.choices, default=ProjectState.READY)
    created_at = models.DateTimeField(auto_now_add=True)
    modified_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-modified_at", "-id"]
        indexes = [models.Index(fields=["owner", "deleted_at"])]

    def __str__(self) -> str:
        return self.name


class ColumnType(models.TextChoices):
    TEXT_TO_ANALYZE = "text_to_analyze", _("Text to analyze")
    TEXT = "text", _("Text")
    NUMERICAL = "numerical", _("Number")
    DATE = "date", _("Date")
    BOOLEAN = "boolean", _("Yes / no")
    SINGLE_SELECT = "single_select", _("Single select")
    MULTI_SELECT = "multi_select", _("Multi select")
    LANGUAGE = "language", _("Language")


class Column(models.Model):
    """A typed column of a project. A text-to-analyze column has topics, a model, a score and a view."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="columns")
    ref = models.CharField(max_length=64)
    name = models.CharField(max_length=200)
    wording = models.TextField(blank=True, validators=[MaxLengthValidator(2_000)])
    type = models.CharField(max_length=20, choices=ColumnType.choices)
    position = models.PositiveIntegerField(default=0)

    # The fields below matter for text-to-analyze columns only.
    learns_from = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="teaches")
    ai_updates_on = models.BooleanField(default=True)
    update_settings = models.JSONField(default=dict, blank=True)
    # Bumped by everything an AI update depends on: reviews, topics, rows. An update notes what it saw.
    data_version = models.PositiveBigIntegerField(default=0)
    # Bumped by everything a person can see: an ETag for panels and polls.
    revision = models.PositiveBigIntegerField(default=0)
    n_reviews_since_update = models.PositiveIntegerField(default=0)
    # Topics or rows changed since the last update began: one more must follow.
    update_requested = models.BooleanField(default=False)
    last_edited_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["project", "ref"], name="column_ref_unique_in_project")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_text_to_analyze(self) -> bool:
        return self.type == ColumnType.TEXT_TO_ANALYZE


class Member(models.Model):
    """A person's role in a project. The owner is an admin without a row here."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="member_once_per_project"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="member_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class Invitation(models.Model):
    """A link that makes whoever opens it a member. Only a hash of its token is stored."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.ANALYST)
    email = models.EmailField(blank=True)
    token_hash = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.project} as {self.role}"

    @property
    def role_word(self) -> str:
        return Role(self.role).word


class ApiKey(models.Model):
    """A key for programs; shown once, stored as prefix and hash."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, blank=True)
    prefix = models.CharField(max_length=12, unique=True)
    key_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.user})"


class JobState(models.TextChoices):
    QUEUED = "queued", _("Waiting")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


ACTIVE_STATES = (JobState.QUEUED, JobState.RUNNING)


class JobKind(models.TextChoices):
    IMPORT = "import", _("Import")
    EXPORT = "export", _("Export")
    UPDATE = "update", _("AI update")
    BULK = "bulk", _("Bulk action")
    TOPICS = "topics", _("Change of topics")
    INDEX = "index", _("Index for filters")
    MEANING = "meaning", _("Search by meaning")
    PROPOSALS = "proposals", _("Topic proposals")


def _language_now() -> str:
    return (get_language() or settings.LANGUAGE_CODE)[:8]


class Job(models.Model):
    """The truth about a piece of background work, whatever the broker remembers."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=16, choices=JobKind.choices)
    state = models.CharField(max_length=16, choices=JobState.choices, default=JobState.QUEUED)
    project = models.ForeignKey(Project, models.CASCADE, null=True, blank=True, related_name="jobs")
    column = models.ForeignKey(Column, models.CASCADE, null=True, blank=True, related_name="jobs")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    # Of whoever asked for the work: the worker writes what it has to say to them (errors, history) in it.
    language = models.CharField(max_length=8, default=_language_now)
    stage = models.CharField(max_length=100, blank=True)  # in English, translated where it is shown
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed_by = models.CharField(max_length=200, blank=True)  # host:pid:token of the claim
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)  # debounce: do not start earlier
    cancel_requested = models.BooleanField(default=False)
    error = models.TextField(blank=True)
    payload: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict, blank=True)
    result: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["state", "heartbeat_at"]),
            models.Index(fields=["project", "kind", "-created_at"]),
            models.Index(fields=["column", "kind", "-created_at"]),
        ]
        constraints = [
            # One update per column at a time: the database refuses a second one.
            models.UniqueConstraint(
                fields=["column"],
                condition=Q(kind="update", state__in=["queued", "running"]),
                name="job_one_update_per_column",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.id}"

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE_STATES

    @property
    def percent(self) -> int:
        """Progress in whole percent, 0 to 100."""
        return min(100, int(100 * self.done / self.total)) if self.total else 0


class ChangeKind(models.TextChoices):
    REVIEW = "review", _("Review")
    UNREVIEW = "unreview", _("Review taken back")
    HIGHLIGHT = "highlight", _("Highlight")
    BULK = "bulk", _("Many rows changed")
    ROWS_DELETE = "rows_delete", _("Rows deleted")
    TOPIC_CREATE = "topic_create", _("Topic added")
    TOPIC_UPDATE = "topic_update", _("Topic changed")
    TOPIC_DELETE = "topic_delete", _("Topic deleted")
    TOPICS_CREATE = "topics_create", _("Topics added")
    TOPICS_MERGE = "topics_merge", _("Topics merged")
    TOPICS_COMBINE = "topics_combine", _("Topics combined")
    TOPICS_MOVE = "topics_move", _("Topics moved")
    TOPICS_DELETE = "topics_delete", _("Topics deleted")
    TOPIC_SPLIT = "topic_split", _("Topic split")
    TOPIC_SENTIMENT = "topic_sentiment", _("Sentiment switched on")
    TOPICS_DISTINCT = "topics_distinct", _("Topics marked as not the same")
    LEARNS_FROM = "learns_from", _("Learning from another project")
    CATEGORY_CREATE = "category_create", _("Category added")
    CATEGORY_UPDATE = "category_update", _("Category changed")
    CATEGORY_DELETE = "category_delete", _("Category deleted")
    CODEBOOK = "codebook", _("Codebook imported")
    PROJECT_UPDATE = "project_update", _("Project settings changed")
    PROJECT_DELETE = "project_delete", _("Project deleted")
    MEMBER = "member", _("Members changed")
    IMPORT = "import", _("Rows imported")
    AI_SWITCH = "ai_switch", _("AI updates switched")
    UNDO = "undo", _("Undone")


class Change(models.Model):
    """One act of a person, with what is needed to undo it. Append-only but for `undone_at`."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="changes")
    column = models.ForeignKey(Column, models.CASCADE, null=True, blank=True, related_name="changes")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    kind = models.CharField(max_length=24, choices=ChangeKind.choices)
    at = models.DateTimeField(default=timezone.now)
    summary = models.CharField(max_length=300, blank=True)
    inverse: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    ids: models.JSONField[list[int], list[int]] = models.JSONField(default=list)  # rows or topics touched
    # What the act was about, for its own history: the head of the verbatim's duplicate group.
    subject_id = models.PositiveBigIntegerField(null=True, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)
    undo_of = models.OneToOneField("self", models.SET_NULL, null=True, blank=True, related_name="undone_by")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["project", "-id"]),
            models.Index(fields=["column", "kind", "-id"]),
            models.Index(fields=["column", "subject_id", "-id"]),
        ]

    def __str__(self) -> str:
        return self.summary or self.get_kind_display()


class Preference(models.Model):
    """What a person chose about the interface, kept with the account: it holds on every computer."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+")
    single_key_shortcuts = models.BooleanField(default=True)
    language = models.CharField(max_length=8, blank=True)  # "": as the browser asks

    def __str__(self) -> str:
        return f"Preferences of {self.user_id}"
