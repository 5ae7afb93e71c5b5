from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ChatbotProjectConfig(AppConfig):
    name = "chatbot_project"
    verbose_name = _("Operation")

    def ready(self) -> None:
        from chatbot_project import (
            beat_heartbeat,  # noqa: F401  beat tells that it is there
            celery,  # noqa: F401  shared tasks belong to this application in every process
            checks,  # noqa: F401  registers the system checks
            logs,
            privacy,  # noqa: F401  says what the tables hold
            task_ids,  # noqa: F401  takes ids along with background tasks; before those below, whose lines have them
            task_metrics,  # noqa: F401  counts them
            task_records,  # noqa: F401  keeps how tasks ran
        )
        from chatbot_project.lib import collecting

        logs.configure()
        collecting.resume()
