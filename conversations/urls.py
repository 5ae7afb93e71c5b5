"""Where the chat's pages and the actions on conversations live."""

from django.urls import path

from conversations import views
from conversations.safety import views as safety

app_name = "conversations"
urlpatterns = [
    path("", views.home, name="home"),
    path("conversations/", views.conversation_list, name="list"),
    path("c/<uuid:conversation_id>/", views.conversation, name="conversation"),
    path("c/<uuid:conversation_id>/messages/", views.earlier_messages, name="messages"),
    path("c/<uuid:conversation_id>/rename/", views.rename, name="rename"),
    path("c/<uuid:conversation_id>/pin/", views.pin, name="pin"),
    path("c/<uuid:conversation_id>/archive/", views.archive, name="archive"),
    path("c/<uuid:conversation_id>/delete/", views.delete, name="delete"),
    path("c/<uuid:conversation_id>/restore/", views.restore, name="restore"),
    path("c/<uuid:conversation_id>/branch/", views.branch, name="branch"),
    path("held-back/", safety.held_back, name="held_back"),
    path("held-back/<uuid:item_id>/", safety.appeal, name="appeal"),
    path("m/<uuid:message_id>/feedback/", views.feedback, name="feedback"),
    path("m/<uuid:message_id>/person/", views.person, name="person"),
]
