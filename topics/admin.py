from django.contrib import admin

from topicassign.admin_tools import ReadOnlyAdmin
from topics.models import Category, DistinctPair, Topic, TopicPartner


@admin.register(Category)
class CategoryAdmin(ReadOnlyAdmin):
    list_display = ["label", "column", "color", "position", "deleted_at"]
    list_filter = ["color", ("deleted_at", admin.EmptyFieldListFilter)]
    search_fields = ["label", "column__name", "column__project__name"]
    list_select_related = ["column"]


@admin.register(Topic)
class TopicAdmin(ReadOnlyAdmin):
    list_display = ["label", "category", "column", "sentiment_enabled", "code_neutral", "deleted_at"]
    list_filter = ["sentiment_enabled", ("deleted_at", admin.EmptyFieldListFilter)]
    search_fields = ["label", "description", "category__label", "column__name", "column__project__name"]
    list_select_related = ["category", "column"]


@admin.register(DistinctPair)
class DistinctPairAdmin(ReadOnlyAdmin):
    list_display = ["first", "second", "created_at"]
    search_fields = ["first__label", "second__label", "first__column__project__name"]
    list_select_related = ["first", "second"]


@admin.register(TopicPartner)
class TopicPartnerAdmin(ReadOnlyAdmin):
    list_display = ["topic", "other"]
    search_fields = ["topic__label", "other__label", "topic__column__project__name"]
    list_select_related = ["topic", "other"]
