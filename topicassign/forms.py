from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.utils.translation import gettext_lazy as _


class SignInForm(AuthenticationForm):
    """The sign-in form; one sentence for every refusal, so that it tells nobody which accounts exist."""

    error_messages = {
        "invalid_login": _("User name and password do not belong together. Check both, capital letters count."),
        "inactive": _("User name and password do not belong together. Check both, capital letters count."),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("User name")
