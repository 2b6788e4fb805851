"""Cached embeddings, model versions and their scores."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from projects.models import Column, Job
from topics.models import CATEGORY_CHARS, LABEL_CHARS, Topic

# What an AI update goes through. Jobs store it in English; it is translated where it is shown.
STAGES = {
    "prepare": gettext_noop("Preparing data"),
    "encode": gettext_noop("Encoding texts"),
    "train": gettext_noop("Training"),
    "tune": gettext_noop("Fine-tuning the encoder"),
    "encode_tuned": gettext_noop("Encoding texts with the fine-tuned encoder"),
    "evaluate": gettext_noop("Evaluating"),
    "assign": gettext_noop("Assigning topics"),
    "deploy": gettext_noop("Deploying"),
}
DEEP_STAGES = {"tune", "encode_tuned"}  # of deep updates only


class Embedding(models.Model):
    """The vector of one exact text by one encoder. Duplicates and imports of the same text cost nothing."""

    encoder = models.CharField(max_length=100)  # name + version + backend: vectors of two never mix
    digest = models.BinaryField(max_length=16)
    vector = models.BinaryField()  # float16, little endian

    class Meta:
        constraints = [models.UniqueConstraint(fields=["encoder", "digest"], name="embedding_once_per_text")]

    def __str__(self) -> str:
        return f"{self.encoder} {bytes(self.digest).hex()[:8]}"


class Trigger(models.TextChoices):
    FIRST = "first", _("First assignment")
    REVIEWS = "reviews", _("Reviews")
    TOPICS = "topics", _("Topic changes")
    ROWS = "rows", _("New rows")
    BUTTON = "button", _("By hand")
    DEEP = "deep", _("Enough reviews to fine-tune the encoder")
    FOLLOW_UP = "follow_up", _("Changes during the update before")
    COMMAND = "command", _("Command line")


class VersionState(models.TextChoices):
    TRAINED = "trained", _("Trained")
    DEPLOYED = "deployed", _("In use")
    SUPERSEDED = "superseded", _("Replaced")


class TuningState(models.TextChoices):
    IN_USE = "in_use", _("In use")
    REPLACED = "replaced", _("Replaced")
    NOT_BETTER = "not_better", _("Not better than without")
    NOT_POSSIBLE = "not_possible", _("Not possible")


class Tuning(models.Model):
    """Copies of the encoder that were fine-tuned on a column's reviews (a deep update), or the note of a try.

    Weights and vectors lie in the cache folder under `key`. They can be lost without harm: light updates then
    learn on the untuned encoder until the next deep update, and models that read them are not used again.
    """

    column = models.ForeignKey(Column, models.CASCADE, related_name="tunings")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="+")
    key = models.CharField(max_length=40, unique=True)
    state = models.CharField(max_length=16, choices=TuningState.choices)
    created_at = models.DateTimeField(auto_now_add=True)
    encoder = models.CharField(max_length=100)  # key of the encoder that was tuned
    n_reviewed = models.PositiveIntegerField()
    n_features = models.PositiveIntegerField()
    topic_ids: models.JSONField[list[int], list[int]] = models.JSONField(default=list)
    digests = models.BinaryField()  # of the texts it was trained on, 16 bytes each
    parts = models.BinaryField()  # for each of them the member that did not see it, one byte
    metrics: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["column"], condition=Q(state="in_use"), name="tuning_one_in_use_per_column"
            ),
        ]

    def __str__(self) -> str:
        return f"Tuning on {self.n_reviewed} reviews"


class ModelVersion(models.Model):
    """What one AI update made: arrays and JSON, never a pickle."""

    column = models.ForeignKey(Column, models.CASCADE, related_name="versions")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="versions")
    number = models.PositiveIntegerField()
    trigger = models.CharField(max_length=16, choices=Trigger.choices)
    state = models.CharField(max_length=16, choices=VersionState.choices, default=VersionState.TRAINED)
    created_at = models.DateTimeField(auto_now_add=True)
    data_version = models.PositiveBigIntegerField(default=0)
    n_reviewed = models.PositiveIntegerField(default=0)
    hyper_parameters: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    metrics: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    ai_score = models.FloatField(null=True, blank=True)  # 0 to 100
    topic_ids: models.JSONField[list[int], list[int]] = models.JSONField(default=list)
    artifact = models.BinaryField(null=True, blank=True)  # npz with format version, encoder key
    encoder = models.CharField(max_length=100, blank=True)
    tuning = models.ForeignKey(Tuning, models.SET_NULL, null=True, blank=True, related_name="+")
    sha256 = models.CharField(max_length=64, blank=True)
    duration_s = models.FloatField(null=True, blank=True)
    timings: models.JSONField[dict[str, float], dict[str, float]] = models.JSONField(default=dict)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["column", "number"], name="version_number_unique_in_column"),
            models.UniqueConstraint(
                fields=["column"], condition=Q(state="deployed"), name="version_one_deployed_per_column"
            ),
        ]

    def __str__(self) -> str:
        return _("Version %(number)s") % {"number": self.number}


class MeaningSearch(models.Model):
    """A search by meaning and what it found, so that the next page of it needs no encoder."""

    column = models.ForeignKey(Column, models.CASCADE, related_name="+")
    digest = models.BinaryField(max_length=16)  # of the text
    text = models.TextField()
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    encoder = models.CharField(max_length=100, blank=True)
    n_texts = models.PositiveIntegerField(null=True)  # vectors it went through; null before it is answered
    found = models.BinaryField(default=bytes)  # ids of verbatims, int64, most similar first

    class Meta:
        constraints = [models.UniqueConstraint(fields=["column", "digest"], name="meaning_once_per_text")]

    def __str__(self) -> str:
        return self.text[:80]


class ProposalSet(models.Model):
    """Topics proposed from the texts of a column; kept until it is replaced or discarded. One per column."""

    column = models.OneToOneField(Column, models.CASCADE, related_name="proposal_set")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    only_uncovered = models.BooleanField(default=False)  # read were only rows without a topic
    n_rows = models.PositiveIntegerField(default=0)  # that were read, identical ones counted each
    n_texts = models.PositiveIntegerField(default=0)  # distinct ones among them

    def __str__(self) -> str:
        return f"Proposals for {self.column}"


class ProposedTopic(models.Model):
    """One of them, with what people made of it: the state of the screen is kept here, not in a browser."""

    proposal_set = models.ForeignKey(ProposalSet, models.CASCADE, related_name="proposals")
    position = models.PositiveIntegerField()
    label = models.CharField(max_length=LABEL_CHARS)
    category = models.CharField(max_length=CATEGORY_CHARS)  # by name: of the column, or to be added
    description = models.TextField(blank=True)
    phrases: models.JSONField[list[str], list[str]] = models.JSONField(default=list)
    examples: models.JSONField[list[int], list[int]] = models.JSONField(default=list)  # verbatims
    rows = models.BinaryField()  # ids of its verbatims, packed (rows.bulk.packing)
    n_rows = models.PositiveIntegerField()  # with those of proposals that were merged into it
    n_covered = models.PositiveIntegerField(default=0)  # rows that had a topic already
    # The topic of the column that is nearest: {"topic": id, "n": rows that have it} or, near by name, without n.
    near: models.JSONField[dict[str, int], dict[str, int]] = models.JSONField(default=dict)
    is_chosen = models.BooleanField(default=True)
    sentiment_enabled = models.BooleanField(default=True)
    is_discarded = models.BooleanField(default=False)
    is_renamed = models.BooleanField(default=False)  # by a person: no machine gives it another name
    merged_into = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="merged")
    topic = models.ForeignKey(Topic, models.SET_NULL, null=True, blank=True, related_name="+")  # that it became

    class Meta:
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.label


class TopicScore(models.Model):
    """How one version does on one topic. `score` is null where there is too little to say; `reason` tells why."""

    version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="topic_scores")
    topic = models.ForeignKey(Topic, models.CASCADE, related_name="scores")
    score = models.FloatField(null=True, blank=True)
    reason = models.CharField(max_length=32, blank=True)
    count = models.PositiveIntegerField(default=0)
    influence = models.FloatField(null=True, blank=True)
    precision = models.FloatField(null=True, blank=True)
    recall = models.FloatField(null=True, blank=True)
    f1 = models.FloatField(null=True, blank=True)
    average_precision = models.FloatField(null=True, blank=True)
    support = models.PositiveIntegerField(default=0)  # reviewed rows with the topic
    threshold = models.FloatField(null=True, blank=True)
    curves: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "topic"], name="score_once_per_topic")]

    def __str__(self) -> str:
        return f"{self.topic}: {self.score}"
