from django.apps import AppConfig


class ChatbotProjectConfig(AppConfig):
    name = "chatbot_project"

    def ready(self) -> None:
        from chatbot_project import (
            celery,  # noqa: F401  shared tasks belong to this application in every process
            checks,  # noqa: F401  registers the system checks
            logs,
        )

        logs.configure()
