from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("People")

    def ready(self) -> None:
        from accounts import receivers  # noqa: F401 - connects them once the models are loaded
        from accounts.privacy import declared, places, tasks  # noqa: F401 - says what there is; Celery finds the tasks
