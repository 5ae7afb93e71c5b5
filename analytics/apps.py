from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AnalyticsConfig(AppConfig):
    name = "analytics"
    verbose_name = _("Analytics")

    def ready(self) -> None:
        from analytics import privacy, receivers, retention  # noqa: F401  declares what is held; connects signals
        from analytics.quality import privacy as quality_privacy  # noqa: F401
