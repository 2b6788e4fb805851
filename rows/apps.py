from django.apps import AppConfig


class RowsConfig(AppConfig):
    name = "rows"

    def ready(self) -> None:
        from rows import hooks as row_hooks
        from rows import (
            moves,
            tasks,  # noqa: F401  (registers the job handlers)
        )
        from rows.indexing import index_start
        from rows.keywords import keyword_rows
        from rows.overlaps import topic_overlaps
        from rows.selectors import topic_counts
        from rows.services import reviews  # noqa: F401  (registers its undo functions)
        from rows.services.overall import overall_refresh
        from topics import hooks

        row_hooks.rows_imported.register(index_start)
        hooks.sentiments_changed.register(overall_refresh)
        hooks.topic_counts.register(topic_counts)
        hooks.keyword_rows.register(keyword_rows)
        hooks.topic_overlaps.register(topic_overlaps)
        moves.connect()
