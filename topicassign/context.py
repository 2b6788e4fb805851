from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from projects.selectors import shortcuts_of


def ui(request: HttpRequest) -> dict[str, Any]:
    """What every page needs: the colour theme of the person and the reference number of the request."""
    user = getattr(request, "user", AnonymousUser())
    theme = request.COOKIES.get("theme", "auto")
    return {
        "theme": theme if theme in {"light", "dark"} else "auto",
        "shortcuts": SimpleLazyObject(lambda: shortcuts_of(user)),  # only whole pages ask for it
        "request_id": getattr(request, "id", ""),
    }
