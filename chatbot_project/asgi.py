"""The ASGI application: pages over HTTP, chat over ``/ws/chat/``, what is going on over ``/ws/figures/``."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter

from chatbot_project.lib.handler import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_project.settings")
django_application = get_asgi_application()

from django.conf import settings  # noqa: E402

from accounts.sources import scope_source  # noqa: E402  models need the application above
from analytics.routing import websocket_urlpatterns as figures  # noqa: E402
from chatbot_project.error_pages import page_at_the_door  # noqa: E402
from chatbot_project.lib.bodies import BoundedBodies  # noqa: E402
from chatbot_project.lib.correlation import Correlated  # noqa: E402
from chatbot_project.lib.crowds import WAITING_PER_THREAD, BoundedCrowd  # noqa: E402
from conversations.routing import websocket_urlpatterns as chat  # noqa: E402

bodies = BoundedBodies(django_application, settings.MAX_BODY_BYTES, page_at_the_door, scope_source)
most = WAITING_PER_THREAD * settings.REQUEST_THREADS
application = ProtocolTypeRouter(
    {
        "http": Correlated(BoundedCrowd(bodies, django_application, most, page_at_the_door)),
        "websocket": Correlated(URLRouter([*chat, *figures])),
    }
)
