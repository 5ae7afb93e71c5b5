from django.urls import path

from analytics.api import views

urlpatterns = [
    path("analytics/dashboard", views.DashboardView.as_view()),
    path("analytics/user/<uuid:user_id>", views.PersonView.as_view()),
    path("analytics/conversations", views.ConversationsView.as_view()),
]
