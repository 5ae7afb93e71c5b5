from django.urls import path

from analytics.api import faq_views, figure_views, mood_views, quality_views, views

urlpatterns = [
    path("analytics/dashboard", views.DashboardView.as_view()),
    path("analytics/user/<uuid:user_id>", views.PersonView.as_view()),
    path("analytics/conversations", views.ConversationsView.as_view()),
    path("analytics/metrics", figure_views.MetricsView.as_view()),
    path("analytics/figures", figure_views.FiguresView.as_view()),
    path("analytics/series", figure_views.SeriesView.as_view()),
    path("analytics/faqs", faq_views.FAQsView.as_view()),
    path("analytics/cohorts", figure_views.CohortsView.as_view()),
    path("analytics/moods", mood_views.MoodsView.as_view()),
    path("analytics/quality", quality_views.QualityView.as_view()),
]
