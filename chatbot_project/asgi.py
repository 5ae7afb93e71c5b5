"""The ASGI application: pages over HTTP, chat over ``/ws/chat/``, what is going on over ``/ws/figures/``."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter

from chatbot_project.lib.handler import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_project.settings")
django_application = get_asgi_application()

from django.conf import settings  # noqa: E402

from analytics.routing import websocket_urlpatterns as figures  # noqa: E402  models need the application above
from chatbot_project.error_pages import too_large_page  # noqa: E402
from chatbot_project.lib.bodies import BoundedBodies  # noqa: E402
from chatbot_project.lib.correlation import Correlated  # noqa: E402
from conversations.routing import websocket_urlpatterns as chat  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": Correlated(BoundedBodies(django_application, settings.MAX_BODY_BYTES, too_large_page)),
        "websocket": Correlated(URLRouter([*chat, *figures])),
    }
)
