"""Hooks let an app on the left (projects, topics, rows) tell one on the right (finetune) what happened.

Apps import one way only. A hook is a list of functions registered in `AppConfig.ready`, called in
order, in the caller's transaction; errors are the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Hook:
    """A named list of functions; `send` calls them all and returns what they returned."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._functions: list[Callable[..., Any]] = []

    def register(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if function not in self._functions:
            self._functions.append(function)
        return function

    def send(self, **values: Any) -> list[Any]:
        return [function(**values) for function in self._functions]

    def first(self, default: Any = None, **values: Any) -> Any:
        """Return the answer of the first function, `default` where none is registered."""
        return self._functions[0](**values) if self._functions else default
