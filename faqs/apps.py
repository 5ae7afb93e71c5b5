from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FaqsConfig(AppConfig):
    name = "faqs"
    verbose_name = _("Knowledge")

    def ready(self) -> None:
        from faqs import gap_receivers, privacy, receivers, retention  # noqa: F401  connects signals; says what is held
