"""What a person chose about the interface."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from projects.models import Preference
from projects.selectors import language_of
from topicassign.errors import ApplicationError
from topicassign.forms import SignInForm


@require_POST
def shortcuts(request: HttpRequest) -> HttpResponse:
    """Switch single-key shortcuts on or off for this person, on every computer."""
    on = request.POST.get("on", "")
    if on not in {"0", "1"}:
        raise ApplicationError(_("Shortcuts are switched on with 1 or off with 0."), status=400)
    person: Any = request.user  # signed in: the site lets nobody else in
    Preference.objects.update_or_create(user=person, defaults={"single_key_shortcuts": on == "1"})
    return HttpResponse(status=204)


@login_not_required
@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Switch the language: for this browser by a cookie, and for the person's account where one is signed in."""
    chosen = request.POST.get("language", "")
    if chosen not in dict(settings.LANGUAGES):
        raise ApplicationError(_("This language is not available."), status=400)
    person: Any = request.user
    if person.is_authenticated:
        Preference.objects.update_or_create(user=person, defaults={"language": chosen})
    return set_language(request)  # the cookie, and back to a page of this site


class SignInView(LoginView):
    """Signs in, and gives the browser the language that the person chose on another one."""

    authentication_form = SignInForm

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        chosen = language_of(form.get_user())
        if chosen:
            response.set_cookie(
                settings.LANGUAGE_COOKIE_NAME,
                chosen,
                max_age=settings.LANGUAGE_COOKIE_AGE,
                secure=settings.LANGUAGE_COOKIE_SECURE,
                httponly=settings.LANGUAGE_COOKIE_HTTPONLY,
                samesite="Lax",
            )
        return response
