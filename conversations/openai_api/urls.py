from django.urls import path

from conversations.openai_api import views

urlpatterns = [
    path("models", views.ModelsView.as_view()),
    path("models/<path:model_id>", views.ModelView.as_view()),
    path("chat/completions", views.ChatCompletionsView.as_view()),
]
