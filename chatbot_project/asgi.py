"""The ASGI application: pages over HTTP, chat over ``/ws/chat/``."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_project.settings")
django_application = get_asgi_application()

from conversations.routing import websocket_urlpatterns  # noqa: E402  models need the line above

application = ProtocolTypeRouter({"http": django_application, "websocket": URLRouter(websocket_urlpatterns)})
