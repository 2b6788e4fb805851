from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from finetune.models import (
    Embedding,
    MeaningSearch,
    ModelVersion,
    ProposalSet,
    ProposedTopic,
    TopicScore,
    Tuning,
)
from topicassign.admin_tools import ReadOnlyAdmin


@admin.register(Embedding)
class EmbeddingAdmin(ReadOnlyAdmin):
    """A cache: whatever is deleted here is computed again when it is needed."""

    list_display = ["id", "encoder", "digest_hex"]
    ordering = ["-id"]
    exclude = ["vector", "digest"]
    readonly_fields = ["digest_hex"]
    may_delete = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Embedding]:
        return super().get_queryset(request).defer("vector")

    @admin.display(description="digest of the text")
    def digest_hex(self, embedding: Embedding) -> str:
        return bytes(embedding.digest).hex()


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ["column", "number", "state", "trigger", "n_reviewed", "ai_score", "duration_s", "created_at"]
    list_filter = ["state", "trigger", "created_at"]
    search_fields = ["column__name", "column__project__name"]
    list_select_related = ["column"]
    exclude = ["artifact"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        return super().get_queryset(request).defer("artifact")


@admin.register(TopicScore)
class TopicScoreAdmin(ReadOnlyAdmin):
    list_display = ["version", "topic", "score", "reason", "count", "support", "precision", "recall"]
    list_filter = ["reason"]
    search_fields = ["topic__label", "version__column__project__name"]
    list_select_related = ["version", "topic"]
    exclude = ["curves"]


@admin.register(Tuning)
class TuningAdmin(ReadOnlyAdmin):
    list_display = ["column", "state", "n_reviewed", "encoder", "created_at"]
    list_filter = ["state", "created_at"]
    search_fields = ["column__name", "column__project__name", "key"]
    list_select_related = ["column"]
    exclude = ["digests", "parts"]


@admin.register(MeaningSearch)
class MeaningSearchAdmin(ReadOnlyAdmin):
    """A cache: whatever is deleted here is searched again when it is needed."""

    may_delete = True
    list_display = ["column", "text", "n_texts", "encoder", "created_at"]
    list_select_related = ["column"]
    exclude = ["digest", "found"]


@admin.register(ProposalSet)
class ProposalSetAdmin(ReadOnlyAdmin):
    """Made again at any time: whatever is deleted here is no topic yet."""

    may_delete = True
    list_display = ["column", "n_texts", "only_uncovered", "created_at"]
    list_select_related = ["column"]


@admin.register(ProposedTopic)
class ProposedTopicAdmin(ReadOnlyAdmin):
    list_display = ["label", "category", "n_rows", "is_chosen", "is_discarded", "topic"]
    list_filter = ["is_discarded"]
    search_fields = ["label", "category"]
    list_select_related = ["topic"]
    exclude = ["rows"]
