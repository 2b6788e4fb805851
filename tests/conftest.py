"""The cast, factories and service markers that all tests share.

Alice owns the project, Bob is a member (an analyst unless a test says otherwise), Charlie a stranger.
DATABASE_URL decides the database. Tests that need PostgreSQL, Redis or Chromium say so with a marker
and are skipped with the reason where it is missing; with REQUIRE_SERVICES=1 they fail instead.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache as remember
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import translation

from finetune.encoders import forget_encoder
from finetune.proposals import forget_models
from projects.models import Column, ColumnType, Member, Project, Role
from rows.models import Assignment, AssignmentSource, Row, Verbatim
from rows.text import digest, fingerprint, is_blank
from topicassign.celery import app as celery_app
from topics.models import Category, Topic

POSTGRES_URL = os.environ.get("TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")
REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
REQUIRE_SERVICES = os.environ.get("REQUIRE_SERVICES", "").lower() in {"1", "true", "yes"}

# Messages of tests stay in the process: a real worker beside the tests must not see them.
celery_app.conf.broker_url = "memory://"
celery_app.conf.broker_transport_options = {}


# --- services ------------------------------------------------------------------------------------
@remember
def postgres_missing() -> str:
    """Return why PostgreSQL cannot be used, "" when it can."""
    import psycopg2

    try:
        psycopg2.connect(POSTGRES_URL, connect_timeout=2).close()
    except psycopg2.Error as error:
        return f"no PostgreSQL at TEST_DATABASE_URL: {str(error).strip().splitlines()[0]}"
    return ""


@remember
def redis_missing() -> str:
    """Return why Redis cannot be used, "" when it can."""
    import redis

    try:
        redis.Redis.from_url(REDIS_URL, socket_connect_timeout=2).ping()
    except redis.RedisError as error:
        return f"no Redis at TEST_REDIS_URL: {error}"
    return ""


@remember
def browser_missing() -> str:
    """Return why browser tests cannot run, "" when they can."""
    if not (Path(CHROMIUM).exists() or shutil.which(CHROMIUM)):
        return f"no Chromium at {CHROMIUM}"
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "the package playwright is not installed"
    return ""


_SERVICES = {"postgres": postgres_missing, "redis": redis_missing, "browser": browser_missing}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, missing in _SERVICES.items():
        if item.get_closest_marker(marker) is None:
            continue
        if reason := missing():
            (pytest.fail if REQUIRE_SERVICES else pytest.skip)(reason)
        if marker == "postgres" and connection.vendor != "postgresql":
            pytest.skip("runs in the pass with DATABASE_URL on PostgreSQL")


@pytest.fixture
def redis_url() -> str:
    return REDIS_URL


@pytest.fixture(autouse=True)
def _own_data(settings: Any, tmp_path: Path) -> Iterator[None]:
    """Files go to a folder of the test; nothing cached by ids of the test before remains."""
    settings.UPLOAD_DIR = tmp_path / "uploads"
    settings.EXPORT_DIR = tmp_path / "exports"
    settings.CACHE_DIR = tmp_path / "cache"
    settings.ENCODER_CLASS = "tests.fakes.HashEncoder"
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    cache.clear()
    forget_encoder()
    forget_models()
    yield
    cache.clear()
    forget_encoder()
    forget_models()


# --- people --------------------------------------------------------------------------------------
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    """Begin in English and end there: a request leaves its language behind in its thread, which is the test's."""
    translation.deactivate()
    yield
    translation.deactivate()


@pytest.fixture
def make_user(db: None) -> Callable[..., Any]:
    def make(username: str, **values: Any) -> Any:
        values.setdefault("email", f"{username}@example.org")
        return get_user_model().objects.create_user(username, password=PASSWORD, **values)

    return make


@pytest.fixture
def alice(make_user: Callable[..., Any]) -> Any:
    """The owner of the project."""
    return make_user("alice", first_name="Alice")


@pytest.fixture
def bob(make_user: Callable[..., Any]) -> Any:
    """A member of the project; the `role` fixture says as what."""
    return make_user("bob", first_name="Bob")


@pytest.fixture
def charlie(make_user: Callable[..., Any]) -> Any:
    """A stranger: signed in, but not in the project."""
    return make_user("charlie", first_name="Charlie")


@pytest.fixture
def role() -> str:
    """Bob's role. Override it: `@pytest.mark.parametrize("role", ["viewer", "admin"])`."""
    return Role.ANALYST


@pytest.fixture
def client_of() -> Callable[[Any], Client]:
    """Return a signed-in client of a person."""

    def make(user: Any | None = None, **values: Any) -> Client:
        client = Client(**values)
        if user is not None:
            client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return make


@pytest.fixture
def as_alice(client_of: Callable[..., Client], alice: Any) -> Client:
    return client_of(alice)


@pytest.fixture
def as_bob(client_of: Callable[..., Client], bob: Any) -> Client:
    return client_of(bob)


@pytest.fixture
def as_charlie(client_of: Callable[..., Client], charlie: Any) -> Client:
    return client_of(charlie)


@pytest.fixture
def htmx() -> dict[str, str]:
    """Headers of a fragment request: `client.get(url, headers=htmx)`."""
    return {"HX-Request": "true"}


# --- data ----------------------------------------------------------------------------------------
TEXTS = (
    "The delivery came two days late.",
    "Very friendly staff, thank you!",
    "Too expensive for what you get.",
    "the  delivery came two days LATE.",  # says the same as the first
    "",
    "N/A",
)
TOPICS = (
    ("Service", "Friendliness", True),
    ("Service", "Delivery time", True),
    ("Price", "Price", False),
)


def add_topics(column: Column, topics: Sequence[Any]) -> list[Topic]:
    """Write topics given as label, (category, label) or (category, label, with sentiment)."""
    made = []
    for topic in topics:
        category_label, label, with_sentiment = (
            ("General", topic, False) if isinstance(topic, str) else (*topic, False)[:3]
        )
        category, _ = Category.objects.get_or_create(
            column=column,
            label=category_label,
            deleted_at=None,
            defaults={"position": column.categories.count()},
        )
        code = 3 * column.topics.count() + 1
        made.append(
            Topic.objects.create(
                column=column,
                category=category,
                label=label,
                sentiment_enabled=with_sentiment,
                code_neutral=code,
                code_positive=code + 1 if with_sentiment else None,
                code_negative=code + 2 if with_sentiment else None,
                position=category.topics.count(),
            )
        )
    return made


def add_rows(
    project: Project, texts: Mapping[Column, Sequence[str]], values: Sequence[Mapping[str, Any]] = ()
) -> list[Row]:
    """Write rows after the last one: verbatims with fingerprint and digest, duplicates grouped."""
    start = (project.rows.order_by("-number").values_list("number", flat=True).first() or 0) + 1
    n_rows = max(len(column_texts) for column_texts in texts.values())
    rows = Row.objects.bulk_create(
        Row(project=project, number=start + index, values=dict(values[index]) if index < len(values) else {})
        for index in range(n_rows)
    )
    rows = list(Row.objects.filter(project=project, number__gte=start).order_by("number"))
    for column, column_texts in texts.items():
        Verbatim.objects.bulk_create(
            Verbatim(
                row=row,
                column=column,
                row_number=row.number,
                text=text,
                fingerprint=fingerprint(text),
                digest=digest(text),
                is_empty=is_blank(text, tuple(project.placeholders)),
            )
            for row, text in zip(rows, column_texts, strict=True)
        )
        group_duplicates(column)
    return rows


def group_duplicates(column: Column) -> None:
    """Mark the first verbatim of each text as its group's head; empty texts are no duplicates."""
    groups: dict[bytes, list[Verbatim]] = {}
    for verbatim in column.verbatims.filter(is_empty=False).order_by("row_number"):
        groups.setdefault(bytes(verbatim.fingerprint), []).append(verbatim)
    for members in groups.values():
        ids = [member.pk for member in members]
        Verbatim.objects.filter(pk__in=ids).update(is_group_head=False, group_size=len(ids))
        Verbatim.objects.filter(pk=ids[0]).update(is_group_head=True)


@pytest.fixture
def make_project(db: None) -> Callable[..., Project]:
    """Return a factory: `make_project(alice, texts=[...], topics=[...])`.

    `texts` is a list for one text column named "Comment" or a dict of column name to list. `columns`
    adds others as (name, type); `values` gives their cells, a dict by column ref for each row. The
    project has its first text column as `project.column`, its topics are `project.column.topics`.
    """

    def make(
        owner: Any,
        *,
        texts: Sequence[str] | Mapping[str, Sequence[str]] = TEXTS,
        topics: Sequence[Any] = TOPICS,
        columns: Sequence[tuple[str, str]] = (),
        values: Sequence[Mapping[str, Any]] = (),
        members: Mapping[Any, str] | None = None,
        **fields: Any,
    ) -> Project:
        project = Project.objects.create(owner=owner, **{"name": "Customer survey", **fields})
        by_name = texts if isinstance(texts, Mapping) else {"Comment": texts}
        text_columns: dict[Column, Sequence[str]] = {}
        for name, column_texts in by_name.items():
            column = Column.objects.create(
                project=project,
                ref=name.lower().replace(" ", "_"),
                name=name,
                wording=f"What is your {name.lower()}?",
                type=ColumnType.TEXT_TO_ANALYZE,
                position=project.columns.count(),
            )
            text_columns[column] = column_texts
            add_topics(column, topics)
        for name, column_type in columns:
            Column.objects.create(
                project=project,
                ref=name.lower().replace(" ", "_"),
                name=name,
                type=column_type,
                position=project.columns.count(),
            )
        if any(text_columns.values()):
            add_rows(project, text_columns, values)
        for user, member_role in (members or {}).items():
            Member.objects.create(project=project, user=user, role=member_role)
        project.column = next(iter(text_columns), None)  # type: ignore[attr-defined]
        return project

    return make


@pytest.fixture
def project(make_project: Callable[..., Project], alice: Any, bob: Any, role: str) -> Project:
    """Alice's project with six rows and three topics; Bob is a member in the role of the test."""
    return make_project(
        alice,
        columns=[("Region", ColumnType.SINGLE_SELECT), ("Score", ColumnType.NUMERICAL)],
        values=[{"region": "North", "score": index} for index in range(len(TEXTS))],
        members={bob: role},
    )


@pytest.fixture
def column(project: Project) -> Column:
    """The text-to-analyze column of Alice's project."""
    return project.column  # type: ignore[attr-defined]


@pytest.fixture
def assign() -> Callable[..., Assignment]:
    """Return a function that puts a topic on a verbatim as the AI does."""

    def make(verbatim: Verbatim, topic: Topic, sentiment: int | None = None, **values: Any) -> Assignment:
        values.setdefault("source", AssignmentSource.AI)
        values.setdefault("probability", 0.8)
        return Assignment.objects.create(verbatim=verbatim, topic=topic, sentiment=sentiment, **values)

    return make
