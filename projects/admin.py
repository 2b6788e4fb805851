from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import ngettext

from projects import jobs
from projects.models import ApiKey, Change, Column, Invitation, Job, Member, Preference, Project
from projects.services import projects as services
from topicassign.admin_tools import OperatorAdmin, ReadOnlyAdmin
from topicassign.errors import ApplicationError


class MemberInline(admin.TabularInline):
    model = Member
    extra = 0
    autocomplete_fields = ["user"]
    readonly_fields = ["created_at"]


class ColumnInline(admin.TabularInline):
    model = Column
    extra = 0
    fields = ["position", "ref", "name", "type", "ai_updates_on"]
    readonly_fields = ["position", "ref", "name", "type", "ai_updates_on"]
    show_change_link = True
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Project)
class ProjectAdmin(OperatorAdmin):
    list_display = ["name", "owner", "state", "created_at", "modified_at", "deleted_at"]
    list_filter = ["state", ("deleted_at", admin.EmptyFieldListFilter), "created_at"]
    search_fields = ["name", "description", "owner__username", "owner__email"]
    list_select_related = ["owner"]
    autocomplete_fields = ["owner"]
    date_hierarchy = "created_at"
    editable = ("name", "description", "owner")
    inlines = [MemberInline, ColumnInline]
    actions = ["restore"]

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "owner" in form.changed_data:  # the owner is an admin without a row among the members
            Member.objects.filter(project=obj, user=obj.owner).delete()

    @admin.action(description="Restore deleted projects", permissions=["change"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Project]) -> None:
        n_restored = 0
        for project in queryset.exclude(deleted_at=None):
            try:
                services.project_restore(project=project, user=request.user)
                n_restored += 1
            except ApplicationError as refusal:
                self.message_user(request, f"{project}: {refusal.message}", messages.ERROR)
        text = ngettext("%(n)s project is back.", "%(n)s projects are back.", n_restored) % {"n": n_restored}
        self.message_user(request, text)


@admin.register(Column)
class ColumnAdmin(ReadOnlyAdmin):
    list_display = ["name", "project", "type", "ai_updates_on", "n_reviews_since_update", "last_edited_at"]
    list_filter = ["type", "ai_updates_on"]
    search_fields = ["name", "ref", "wording", "project__name"]
    list_select_related = ["project"]


@admin.register(Member)
class MemberAdmin(OperatorAdmin):
    list_display = ["user", "project", "role", "created_at"]
    list_filter = ["role"]
    search_fields = ["user__username", "user__email", "project__name"]
    list_select_related = ["user", "project"]
    editable = ("role",)
    may_delete = True


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    """The token is stored as a hash only and is not shown."""

    list_display = ["project", "role", "email", "created_by", "expires_at", "accepted_by", "revoked_at"]
    list_filter = ["role", ("accepted_at", admin.EmptyFieldListFilter), ("revoked_at", admin.EmptyFieldListFilter)]
    search_fields = ["project__name", "email", "created_by__username"]
    list_select_related = ["project", "created_by", "accepted_by"]
    exclude = ["token_hash"]
    actions = ["revoke"]

    @admin.action(description="Take back", permissions=["delete_or_revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> None:
        n_revoked = queryset.filter(accepted_at=None, revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"{n_revoked} taken back.")

    def has_delete_or_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("projects.delete_invitation")


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """The key itself was shown once to its owner; not even its hash is shown here."""

    list_display = ["prefix", "user", "name", "created_at", "last_used_at", "revoked_at"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter), "last_used_at"]
    search_fields = ["prefix", "name", "user__username"]
    list_select_related = ["user"]
    exclude = ["key_hash"]
    actions = ["revoke"]

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        n_revoked = queryset.filter(revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"{n_revoked} revoked.")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("projects.delete_apikey")


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ["id", "kind", "state", "project", "stage", "percent", "attempts", "heartbeat_at", "created_at"]
    list_filter = ["state", "kind", "created_at"]
    search_fields = ["id", "project__name", "user__username", "error"]
    list_select_related = ["project"]
    date_hierarchy = "created_at"
    actions = ["cancel", "retry"]

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        for job in queryset:
            if job.is_active:
                jobs.job_cancel(job=job)
        self.message_user(request, "Asked to stop.")

    @admin.action(description="Try failed jobs again", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        for job in queryset:
            try:
                jobs.job_retry(job=job)
            except ApplicationError as refusal:
                self.message_user(request, f"{job}: {refusal.message}", messages.ERROR)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("projects.change_job")


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin):
    list_display = ["at", "user", "kind", "summary", "project", "column", "undone_at"]
    list_filter = ["kind", ("undone_at", admin.EmptyFieldListFilter), "at"]
    search_fields = ["summary", "project__name", "user__username"]
    list_select_related = ["user", "project", "column"]
    date_hierarchy = "at"
    exclude = ["inverse", "ids"]  # may be megabytes after an act on many rows


@admin.register(Preference)
class PreferenceAdmin(ReadOnlyAdmin):
    list_display = ["user", "single_key_shortcuts"]
    list_select_related = ["user"]
