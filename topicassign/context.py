from typing import Any

from django.http import HttpRequest


def ui(request: HttpRequest) -> dict[str, Any]:
    """What every page needs: the colour theme of the person and the reference number of the request."""
    theme = request.COOKIES.get("theme", "auto")
    return {
        "theme": theme if theme in {"light", "dark"} else "auto",
        "request_id": getattr(request, "id", ""),
    }
