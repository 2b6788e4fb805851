"""What a column learns from, in a line that any page can show."""

from __future__ import annotations

from typing import Any

from django import template

from projects.models import Column, Project
from projects.selectors import column_list
from topics.learning import learning_state

register = template.Library()


@register.inclusion_tag("topics/_learning_line.html", takes_context=True)
def learning_line(context: template.Context, column: Column) -> dict[str, Any]:
    """Say what a column learns from; nothing where it learns from its own reviews alone."""
    return {"state": learning_state(column=column, user=context["request"].user)}


@register.inclusion_tag("topics/_learning_settings.html", takes_context=True)
def learning_settings(context: template.Context, project: Project) -> dict[str, Any]:
    """List the text columns of a project with what each learns from, and a button that changes it."""
    user = context["request"].user
    columns = [(column, learning_state(column=column, user=user)) for column in column_list(project=project)]
    return {"columns": columns, "project": project}
