from django.urls import path

from analytics.consumers import FiguresConsumer

websocket_urlpatterns = [path("ws/figures/", FiguresConsumer.as_asgi())]
