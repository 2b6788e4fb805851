"""What happens to rows when topics are merged, combined, split or get sentiment, and how it is taken back.

All of it is called by the services of topics through their hooks, inside their transactions.
"""

from topics import hooks


def connect() -> None:
    from rows.moves import divide, gather, locking, preview, putback, unreview

    hooks.rows_lock.register(locking.rows_lock)
    hooks.rows_gather.register(gather.rows_gather)
    hooks.rows_gathered.register(preview.rows_gathered)
    hooks.rows_with_topic.register(divide.rows_with_topic)
    hooks.topic_rows.register(divide.topic_rows)
    hooks.rows_divide.register(divide.rows_divide)
    hooks.rows_unreview.register(unreview.rows_unreview)
    hooks.rows_put_back.register(putback.rows_put_back)
