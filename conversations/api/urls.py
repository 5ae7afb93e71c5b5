from django.urls import URLPattern, URLResolver, path

from conversations.api import (
    conversation_views,
    export_view,
    message_views,
    moderation_views,
    presence_views,
    send_views,
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("chat/send", send_views.SendView.as_view()),
    path("conversations", conversation_views.ConversationsView.as_view()),
    path("conversations/clear", conversation_views.ClearView.as_view()),
    path("conversations/<uuid:conversation_id>", conversation_views.ConversationView.as_view()),
    path("conversations/<uuid:conversation_id>/restore", conversation_views.RestoreView.as_view()),
    path("conversations/<uuid:conversation_id>/select-branch", conversation_views.SelectBranchView.as_view()),
    path("conversations/<uuid:conversation_id>/export", export_view.ExportView.as_view()),
    path("conversations/<uuid:conversation_id>/messages", message_views.MessagesView.as_view()),
    path("messages/<uuid:message_id>", message_views.MessageView.as_view()),
    path("messages/<uuid:message_id>/edit", message_views.EditView.as_view()),
    path("messages/<uuid:message_id>/regenerate", message_views.RegenerateView.as_view()),
    path("messages/<uuid:message_id>/continue", message_views.ContinueView.as_view()),
    path("messages/<uuid:message_id>/stop", message_views.StopView.as_view()),
    path("messages/<uuid:message_id>/feedback", message_views.FeedbackView.as_view()),
    path("messages/<uuid:message_id>/hand-over", message_views.HandOverView.as_view()),
    path("messages/<uuid:message_id>/events", send_views.ReplyEventsView.as_view()),
    path("held-back", moderation_views.HeldBackView.as_view()),
    path("held-back/<uuid:item_id>/object", moderation_views.ObjectionView.as_view()),
    path("moderation/queue", moderation_views.QueueView.as_view()),
    path("moderation/queue/<uuid:item_id>/decide", moderation_views.DecisionView.as_view()),
    path("sessions/active", presence_views.ActiveSessionsView.as_view()),
]
