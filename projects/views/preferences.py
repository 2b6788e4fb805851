"""What a person chose about the interface."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from projects.models import Preference
from topicassign.errors import ApplicationError


@require_POST
def shortcuts(request: HttpRequest) -> HttpResponse:
    """Switch single-key shortcuts on or off for this person, on every computer."""
    on = request.POST.get("on", "")
    if on not in {"0", "1"}:
        raise ApplicationError(_("Shortcuts are switched on with 1 or off with 0."), status=400)
    Preference.objects.update_or_create(user_id=request.user.pk, defaults={"single_key_shortcuts": on == "1"})
    return HttpResponse(status=204)
