from django.apps import AppConfig


class FinetuneConfig(AppConfig):
    name = "finetune"

    def ready(self) -> None:
        from django.utils.translation import gettext_lazy as _

        from finetune import hooks
        from topics.ways import Way, way_add

        hooks.connect()
        way_add(
            Way(
                "texts",
                "finetune:proposals",
                "sparkles",
                _("The texts themselves"),
                _("The AI proposes topics for what the rows speak of; you choose and name them."),
                is_page=True,
            ),
            before="template",
        )
