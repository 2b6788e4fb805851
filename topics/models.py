"""The topic collection of a text-to-analyze column: categories and topics."""

from __future__ import annotations

import hashlib

from django.core.validators import MaxLengthValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from projects.models import Column

LABEL_CHARS = 50
CATEGORY_CHARS = 30
DESCRIPTION_CHARS = 2_000

# Keys of the palette in static/css/tokens.css; a colour is one of these or a hex value.
PALETTE = (
    "blue", "teal", "green", "lime", "amber", "orange", "red", "pink", "purple", "indigo", "brown", "slate",
)  # fmt: skip
validate_color = RegexValidator(
    rf"^({'|'.join(PALETTE)}|#[0-9a-fA-F]{{6}})$",
    _("Choose a colour of the palette or a hex value such as #3366cc."),
)


def state_digest(*values: object) -> str:
    return hashlib.blake2b(repr(values).encode(), digest_size=8).hexdigest()


class Sentiment(models.IntegerChoices):
    NEGATIVE = -1, "negative"
    NEUTRAL = 0, "neutral"
    POSITIVE = 1, "positive"


# A row is positive above this mean of its topics' sentiments, negative below minus it (specification S3.3).
OVERALL_CUT = 0.33


class Category(models.Model):
    column = models.ForeignKey(Column, models.CASCADE, related_name="categories")
    label = models.CharField(max_length=CATEGORY_CHARS)
    color = models.CharField(max_length=10, default="blue", validators=[validate_color])
    position = models.PositiveIntegerField(default=0)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["position", "id"]
        verbose_name_plural = "categories"
        constraints = [
            models.UniqueConstraint(
                F("column"),
                Lower("label"),
                condition=Q(deleted_at=None),
                name="category_label_unique_in_column",
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def version(self) -> str:
        """Return a short text that changes with everything a person may set: a save names the one it saw."""
        return state_digest(self.label, self.color)


class Topic(models.Model):
    """A class of the topic collection. Its codes are unique in the column, over all its versions."""

    column = models.ForeignKey(Column, models.CASCADE, related_name="topics")
    category = models.ForeignKey(Category, models.PROTECT, related_name="topics")
    label = models.CharField(max_length=LABEL_CHARS)
    description = models.TextField(blank=True, validators=[MaxLengthValidator(DESCRIPTION_CHARS)])
    sentiment_enabled = models.BooleanField(default=False)
    code_neutral = models.IntegerField()
    code_positive = models.IntegerField(null=True, blank=True)
    code_negative = models.IntegerField(null=True, blank=True)
    label_neutral = models.CharField(max_length=LABEL_CHARS, blank=True)
    label_positive = models.CharField(max_length=LABEL_CHARS, blank=True)
    label_negative = models.CharField(max_length=LABEL_CHARS, blank=True)
    keywords = models.JSONField(default=list, blank=True)  # as topics.keywords cleans them
    position = models.PositiveIntegerField(default=0)
    deleted_at = models.DateTimeField(null=True, blank=True)
    # Where its rows are since it was merged, combined: what still names the deleted topic can follow.
    merged_into = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="+")
    # Bumped when a property the AI reads changes (label, category, sentiment labels, description,
    # keywords).
    ai_version = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                F("category"),
                Lower("label"),
                condition=Q(deleted_at=None),
                name="topic_label_unique_in_category",
            ),
        ]
        indexes = [models.Index(fields=["column", "deleted_at", "position"])]

    def __str__(self) -> str:
        return self.label

    @property
    def version(self) -> str:
        """Return a short text that changes with everything a person may set: a save names the one it saw."""
        return state_digest(
            self.label, self.category_id, self.description, self.sentiment_enabled,
            self.code_neutral, self.code_positive, self.code_negative,
            self.label_neutral, self.label_positive, self.label_negative, self.keywords,
        )  # fmt: skip

    def sentiment_label(self, sentiment: int | None) -> str:
        """Return the label of a version of this topic, or the topic's own label where it has none."""
        own = {1: self.label_positive, 0: self.label_neutral, -1: self.label_negative}.get(sentiment or 0, "")
        return (own if sentiment is not None else "") or self.label

    def code(self, sentiment: int | None) -> int:
        """Return the code of a version; the neutral code stands for a topic without sentiment."""
        if sentiment == 1 and self.code_positive is not None:
            return self.code_positive
        if sentiment == -1 and self.code_negative is not None:
            return self.code_negative
        return self.code_neutral


class DistinctPair(models.Model):
    """Two topics of which a person said that they are not the same: no longer listed as similar."""

    first = models.ForeignKey(Topic, models.CASCADE, related_name="+")  # the one with the lower id
    second = models.ForeignKey(Topic, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["first", "second"], name="distinct_pair_once"),
            models.CheckConstraint(condition=Q(first__lt=F("second")), name="distinct_pair_in_order"),
        ]

    def __str__(self) -> str:
        return f"{self.first} / {self.second}"


class TopicPartner(models.Model):
    """A topic of another column that means the same as one of a column that learns from it, whatever its name."""

    topic = models.ForeignKey(Topic, models.CASCADE, related_name="partners")
    other = models.ForeignKey(Topic, models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["topic", "other"], name="partner_once")]

    def __str__(self) -> str:
        return f"{self.topic} / {self.other}"
