from django.urls import URLPattern, URLResolver, path

from conversations.api import presence_views, send_views

urlpatterns: list[URLPattern | URLResolver] = [
    path("chat/send", send_views.SendView.as_view()),
    path("messages/<uuid:message_id>/events", send_views.ReplyEventsView.as_view()),
    path("sessions/active", presence_views.ActiveSessionsView.as_view()),
]
