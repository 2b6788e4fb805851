"""The people of a project: members, roles, invitations."""

from __future__ import annotations

from typing import Any

import structlog
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.core.mail import send_mail
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from projects import selectors
from projects.forms import AccountForm, InvitationForm, MemberRoleForm
from projects.models import Invitation, Member, Project, ProjectState, Role
from projects.services import members as services
from projects.views.notices import undo_toast
from topicassign.errors import ApplicationError

log = structlog.get_logger(__name__)


def _context(project: Project, **more: Any) -> dict[str, Any]:
    is_admin = project.role == Role.ADMIN  # type: ignore[attr-defined]
    return {
        "project": project,
        "tab": "members",
        "members": selectors.member_list(project=project),
        "invitations": selectors.invitation_list(project=project) if is_admin else [],
        "invitation_form": InvitationForm() if is_admin else None,
        "invitation_days": settings.INVITATION_DAYS,
        "roles": Role.choices,
        **more,
    }


@require_safe
def member_list(request: HttpRequest, project_id: int) -> HttpResponse:
    project = selectors.get_project_for_read(request.user, project_id)
    return _show(request, project)


def _show(
    request: HttpRequest, project: Project, *, status: int = 200, change: Any = None, **more: Any
) -> HttpResponse:
    context = _context(project, **more)
    if not request.htmx:  # type: ignore[attr-defined]
        return render(request, "projects/members.html", context, status=status)
    response = render(request, "projects/_members.html", context, status=status)
    return undo_toast(request, response, change) if change else response


def _changed(request: HttpRequest, project: Project, change: Any) -> HttpResponse:
    """Answer an act: the fragment with an undo for htmx, else back to the page."""
    if request.htmx:  # type: ignore[attr-defined]
        return _show(request, project, change=change)
    if change:
        messages.success(request, f"{change}.")
    return redirect("projects:members", project_id=project.pk)


@require_POST
def member_role(request: HttpRequest, project_id: int, member_id: int) -> HttpResponse:
    member = selectors.get_member_for_admin(request.user, project_id, member_id)
    form = MemberRoleForm(request.POST, instance=Member(project=member.project, user=member.user))
    if not form.is_valid() and "role" in form.errors:
        raise ApplicationError(_("Choose one of the roles viewer, analyst and admin."))
    change = services.member_role_change(member=member, role=request.POST["role"], user=request.user)
    if member.user_id == request.user.pk:  # an admin who steps down sees less from now on
        return _elsewhere(request, reverse("projects:members", args=[project_id]))
    return _changed(request, member.project, change)


@require_POST
def member_remove(request: HttpRequest, project_id: int, member_id: int) -> HttpResponse:
    member = selectors.get_member_for_admin(request.user, project_id, member_id)
    if member.user_id == request.user.pk:
        return _leave(request, member)
    change = services.member_remove(member=member, user=request.user)
    return _changed(request, member.project, change)


@require_POST
def member_owner(request: HttpRequest, project_id: int, member_id: int) -> HttpResponse:
    member = selectors.get_member_for_admin(request.user, project_id, member_id)
    if member.project.owner_id != request.user.pk:
        raise PermissionDenied(_("Only the owner can make somebody else the owner."))
    change = services.project_hand_over(member=member, user=request.user)
    if not request.htmx:  # type: ignore[attr-defined]
        messages.success(request, f"{change}.")
    return _elsewhere(request, reverse("projects:members", args=[project_id]))


@require_POST
def member_leave(request: HttpRequest, project_id: int) -> HttpResponse:
    project = selectors.get_project_for_read(request.user, project_id)
    member = Member.objects.filter(project=project, user=request.user.pk).first()
    if member is None:
        raise ApplicationError(_("You own this project. Make somebody else the owner before you leave it."))
    return _leave(request, member)


def _leave(request: HttpRequest, member: Member) -> HttpResponse:
    name = member.project.name
    services.member_remove(member=member, user=request.user)
    messages.success(request, _("You left “%(name)s”.") % {"name": name})
    return _elsewhere(request, reverse("projects:list"))


def _elsewhere(request: HttpRequest, url: str) -> HttpResponse:
    if request.htmx:  # type: ignore[attr-defined]
        response = HttpResponse(status=200)
        response["HX-Redirect"] = url
        return response
    return redirect(url)


@require_POST
def invitation_create(request: HttpRequest, project_id: int) -> HttpResponse:
    project = selectors.get_project_for_admin(request.user, project_id)
    if project.state == ProjectState.IMPORTING:
        raise ApplicationError(_("This project is still being imported. Invite people once it is ready."))
    form = InvitationForm(request.POST)
    if not form.is_valid():
        return _show(request, project, status=422, invitation_form=form)
    role, email = form.cleaned_data["role"], form.cleaned_data["email"]
    invitation, token = services.invitation_create(project=project, role=role, email=email, user=request.user)
    link = request.build_absolute_uri(reverse("projects:invitation_accept", args=[token]))
    # The link is shown by this very answer and never again, so there is no redirect to a page that forgot it.
    response = _show(
        request,
        project,
        new_invitation=invitation,
        link=link,
        mail=_send(request, invitation, link) if email else "",
    )
    response["Cache-Control"] = "no-store"
    return response


def _send(request: HttpRequest, invitation: Invitation, link: str) -> str:
    """Mail the link; returns "sent" or "failed". A mail server that is down must not cost the link."""
    context = {"invitation": invitation, "link": link, "inviter": request.user}
    try:
        send_mail(
            subject=_("Invitation to “%(name)s”") % {"name": " ".join(invitation.project.name.split())},
            message=render_to_string("projects/invitation_email.txt", context),
            from_email=None,
            recipient_list=[invitation.email],
        )
    except Exception:  # smtplib, sockets and back ends of others raise what they like
        log.warning("invitation_mail_failed", invitation=invitation.pk, exc_info=True)
        return "failed"
    return "sent"


@require_POST
def invitation_revoke(request: HttpRequest, project_id: int, invitation_id: int) -> HttpResponse:
    invitation = selectors.get_invitation_for_admin(request.user, project_id, invitation_id)
    change = services.invitation_revoke(invitation=invitation, user=request.user)
    return _changed(request, invitation.project, change)


@login_not_required
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def invitation_accept(request: HttpRequest, token: str) -> HttpResponse:
    """The page behind an invitation link: join as whom one is, or make an account and join."""
    invitation = services.invitation_find(token=token)
    template = "registration/invitation_accept.html"
    if invitation is None:
        return render(request, template, {"expired": True}, status=410)
    context: dict[str, Any] = {"invitation": invitation, "expired": False}
    if request.user.is_authenticated:
        if request.method == "POST":
            services.invitation_accept(invitation=invitation, user=request.user)
            return redirect("projects:detail", project_id=invitation.project_id)
        return render(request, template, context)
    form = AccountForm(request.POST or None, initial={"email": invitation.email})
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():  # no account without the membership
            user = form.save()
            services.invitation_accept(invitation=invitation, user=user)
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        return redirect("projects:detail", project_id=invitation.project_id)
    return render(request, template, {**context, "form": form}, status=422 if form.is_bound else 200)
