from django.apps import AppConfig


class TopicsConfig(AppConfig):
    name = "topics"

    def ready(self) -> None:
        from topics import codebook, services, tasks  # noqa: F401  (register undo functions and job handlers)
        from topics.services import learning  # noqa: F401  (the same; it needs codebooks, which need the services)
