from django.contrib import admin

from topicassign.admin_tools import ReadOnlyAdmin
from topics.models import Category, Topic


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
