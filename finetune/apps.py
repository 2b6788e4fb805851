from django.apps import AppConfig


class FinetuneConfig(AppConfig):
    name = "finetune"

    def ready(self) -> None:
        from finetune import hooks

        hooks.connect()
