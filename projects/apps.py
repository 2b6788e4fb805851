from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    name = "projects"

    def ready(self) -> None:
        from projects.services import members, projects  # noqa: F401  (register their undo functions)
