"""Notices that offer to take an act back."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django_htmx.http import trigger_client_event

from projects.history import can_undo
from projects.models import Change, ChangeKind

_BULK_KINDS = {ChangeKind.BULK, ChangeKind.ROWS_DELETE}
_ROW_KINDS = {ChangeKind.REVIEW, ChangeKind.UNREVIEW, ChangeKind.HIGHLIGHT, ChangeKind.IMPORT} | _BULK_KINDS
_TOPIC_KINDS = {
    ChangeKind.TOPIC_CREATE,
    ChangeKind.TOPIC_UPDATE,
    ChangeKind.TOPIC_DELETE,
    ChangeKind.TOPICS_CREATE,
    ChangeKind.TOPICS_MERGE,
    ChangeKind.TOPICS_COMBINE,
    ChangeKind.TOPICS_MOVE,
    ChangeKind.TOPICS_DELETE,
    ChangeKind.TOPIC_SPLIT,
    ChangeKind.TOPIC_SENTIMENT,
    ChangeKind.TOPICS_DISTINCT,
    ChangeKind.LEARNS_FROM,
    ChangeKind.CATEGORY_CREATE,
    ChangeKind.CATEGORY_UPDATE,
    ChangeKind.CATEGORY_DELETE,
    ChangeKind.CODEBOOK,
}


def undo_toast(request: HttpRequest, response: HttpResponse, change: Change, text: str = "") -> HttpResponse:
    """Add a notice about an act to a fragment, with an undo button where it can be undone."""
    undo_url = reverse("projects:change_undo", args=[change.pk]) if can_undo(change) else ""
    context = {"text": text or f"{change}.", "undo_url": undo_url, "kind": "success"}
    response.write(render_to_string("components/toast_oob.html", context, request=request))
    return response


def announce_change(response: HttpResponse, change: Change) -> HttpResponse:
    """Tell the page which of its parts a change made old."""
    to_body: dict[str, Any] = {"target": "body"}
    if change.kind in _ROW_KINDS | _TOPIC_KINDS:
        trigger_client_event(response, "rows-changed", {**to_body, "ids": change.ids})
        trigger_client_event(response, "ai-changed", to_body)
    if change.kind in _BULK_KINDS:
        trigger_client_event(response, "bulk-changed", to_body)
    if change.kind in _TOPIC_KINDS:
        trigger_client_event(response, "topics-changed", to_body)
    if change.kind == ChangeKind.AI_SWITCH:
        trigger_client_event(response, "ai-changed", to_body)
    return trigger_client_event(response, "project-changed", to_body)
