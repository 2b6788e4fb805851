from django.apps import AppConfig


class TopicsConfig(AppConfig):
    name = "topics"

    def ready(self) -> None:
        from topics import codebook, services, tasks  # noqa: F401  (register undo functions and job handlers)
