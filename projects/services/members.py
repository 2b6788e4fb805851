"""Who belongs to a project: roles, removal, leaving, the owner, invitations.

The owner is always an admin and cannot be removed or given another role, so a project never loses its
last admin; whoever wants to leave their own project hands it to another member first.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from projects.history import change_record, undoes
from projects.models import Change, ChangeKind, Invitation, Member, Project, Role
from topicassign.errors import ApplicationError

_CHANGED_SINCE = gettext_lazy("The members were changed again since; undo the later change first.")


def token_hash(token: str) -> str:
    """Return what is stored of an invitation's token. It is 256 random bits, so a fast hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


# --- roles -----------------------------------------------------------------------------------------
@transaction.atomic
def member_role_change(*, member: Member, role: str, user: Any) -> Change | None:
    """Give a member another role. Returns None when it is the same."""
    locked = _lock(member)
    if locked.role == role:
        return None
    was, locked.role = locked.role, role
    locked.full_clean(exclude=["user", "project"])
    locked.save(update_fields=["role"])
    return _record(
        locked.project,
        locked.user,
        was,
        role,
        user,
        _("%(name)s is now %(role)s") % {"name": _name(locked.user), "role": Role(role).word},
    )


@transaction.atomic
def member_remove(*, member: Member, user: Any) -> Change:
    """Take a member out of the project, or let them leave it (when `user` is the member)."""
    locked = _lock(member)
    was = locked.role
    locked.delete()
    name = _name(locked.user)
    summary = (
        _("%(name)s left the project") % {"name": name}
        if locked.user_id == user.pk
        else _("%(name)s removed from the project") % {"name": name}
    )
    return _record(locked.project, locked.user, was, None, user, summary)


@transaction.atomic
def project_hand_over(*, member: Member, user: Any) -> Change:
    """Make a member the owner; the owner so far stays as an admin."""
    locked = _lock(member)
    project, former = locked.project, locked.project.owner
    was = locked.role
    locked.delete()
    project.owner = locked.user
    project.save(update_fields=["owner"])
    Member.objects.create(project=project, user=former, role=Role.ADMIN)
    return change_record(
        project=project,
        kind=ChangeKind.MEMBER,
        user=user,
        summary=_("%(name)s is now the owner") % {"name": _name(project.owner)},
        inverse={"act": "owner", "from": former.pk, "to": project.owner_id, "was": was},
    )


def _record(
    project: Project, person: Any, was: str | None, now: str | None, user: Any, summary: str, **extra: Any
) -> Change:
    return change_record(
        project=project,
        kind=ChangeKind.MEMBER,
        user=user,
        summary=summary,
        inverse={"act": "role", "user": person.pk, "was": was, "now": now, **extra},
    )


# --- invitations -----------------------------------------------------------------------------------
@transaction.atomic
def invitation_create(*, project: Project, role: str, email: str = "", user: Any) -> tuple[Invitation, str]:
    """Return a new invitation and its token. The token is not stored: this is the only time it is known."""
    token = secrets.token_urlsafe(32)
    invitation = Invitation(
        project=project,
        role=role,
        email=email,
        token_hash=token_hash(token),
        created_by=user,
        expires_at=timezone.now() + timedelta(days=settings.INVITATION_DAYS),
    )
    invitation.full_clean(exclude=["project", "created_by"])
    invitation.save()
    change_record(
        project=project,
        kind=ChangeKind.MEMBER,
        user=user,
        summary=(
            _("Invitation as %(role)s made for %(email)s") % {"role": Role(role).word, "email": email}
            if email
            else _("Invitation as %(role)s made") % {"role": Role(role).word}
        ),
        inverse={"act": "invite", "invitation": invitation.pk},
    )
    return invitation, token


@transaction.atomic
def invitation_revoke(*, invitation: Invitation, user: Any) -> Change:
    """Make a link useless that nobody has used yet."""
    changed = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None).update(
        revoked_at=timezone.now()
    )
    if not changed:
        raise ApplicationError(_("This invitation was already used or taken back."), status=409)
    return change_record(
        project=invitation.project,
        kind=ChangeKind.MEMBER,
        user=user,
        summary=_("Invitation as %(role)s taken back") % {"role": Role(invitation.role).word},
        inverse={"act": "revoke", "invitation": invitation.pk},
    )


def invitation_find(*, token: str) -> Invitation | None:
    """Return the invitation of a link while it works: not used, not taken back, not too old."""
    return (
        Invitation.objects.select_related("project", "created_by")
        .filter(
            token_hash=token_hash(token),
            accepted_at=None,
            revoked_at=None,
            expires_at__gt=timezone.now(),
            project__deleted_at=None,
        )
        .first()
    )


@transaction.atomic
def invitation_accept(*, invitation: Invitation, user: Any) -> Change | None:
    """Make a person a member. A member keeps the higher of both roles; returns None when nothing changed."""
    project = Project.objects.select_for_update().get(pk=invitation.project_id)
    # A link works once: of two people who open it at the same time one is a moment too late.
    changed = Invitation.objects.filter(
        pk=invitation.pk, accepted_at=None, revoked_at=None, expires_at__gt=timezone.now()
    ).update(accepted_by=user, accepted_at=timezone.now())
    if not changed or project.deleted_at is not None:
        raise ApplicationError(
            _("This invitation does not work any more. Ask for a new one."), status=410, code="invitation_over"
        )
    if project.owner_id == user.pk:
        return None
    member = Member.objects.filter(project=project, user=user).first()
    was = member.role if member else None
    if was and Role(was).rank >= Role(invitation.role).rank:
        return None
    Member.objects.update_or_create(project=project, user=user, defaults={"role": invitation.role})
    summary = _("%(name)s joined as %(role)s") % {"name": _name(user), "role": Role(invitation.role).word}
    return _record(project, user, was, invitation.role, user, summary)


# --- undo ------------------------------------------------------------------------------------------
@undoes(ChangeKind.MEMBER)
def _undo_member(change: Change, user: Any) -> None:
    project = Project.objects.select_for_update().get(pk=change.project_id)
    inverse = change.inverse
    if inverse["act"] == "role":
        _undo_role(project, inverse)
    elif inverse["act"] == "owner":
        if user.pk != project.owner_id:
            raise ApplicationError(_("Only the owner can give the project back."), status=403, code="forbidden")
        if project.owner_id != inverse["to"] or not _exists(inverse["from"]):
            raise ApplicationError(_CHANGED_SINCE, status=409)
        Member.objects.filter(project=project, user=inverse["from"]).delete()
        Member.objects.create(project=project, user_id=inverse["to"], role=inverse["was"])
        project.owner_id = inverse["from"]
        project.save(update_fields=["owner"])
    elif inverse["act"] == "invite":
        invitation_open = Invitation.objects.filter(pk=inverse["invitation"], accepted_at=None, revoked_at=None)
        if not invitation_open.update(revoked_at=timezone.now()):
            raise ApplicationError(_("This invitation was already used or taken back."), status=409)
    elif inverse["act"] == "revoke":
        revoked = Invitation.objects.filter(pk=inverse["invitation"], accepted_at=None)
        if not revoked.update(revoked_at=None):
            raise ApplicationError(_("This invitation is not there any more."), status=409)


def _undo_role(project: Project, inverse: dict[str, Any]) -> None:
    member = Member.objects.filter(project=project, user=inverse["user"]).first()
    if (member.role if member else None) != inverse["now"] or project.owner_id == inverse["user"]:
        raise ApplicationError(_CHANGED_SINCE, status=409)
    if not _exists(inverse["user"]):
        raise ApplicationError(_("This person has no account any more."), status=409)
    if inverse["was"] is None:
        assert member is not None
        member.delete()
    else:
        Member.objects.update_or_create(
            project=project, user_id=inverse["user"], defaults={"role": inverse["was"]}
        )


def _exists(user_id: int) -> bool:
    return get_user_model().objects.filter(pk=user_id).exists()


def _lock(member: Member) -> Member:
    """Lock the project, then read the member again: one change of people at a time in a project."""
    project = Project.objects.select_for_update().get(pk=member.project_id)
    found = Member.objects.select_related("user").filter(pk=member.pk, project=project).first()
    if found is None:
        raise ApplicationError(_("This person is not a member any more."), status=409, code="member_gone")
    found.project = project
    return found


def _name(user: Any) -> str:
    return user.get_full_name() or user.get_username()
