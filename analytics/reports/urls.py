from django.urls import path

from analytics.reports.views import UnsubscribeView

app_name = "reports"
urlpatterns = [
    # Below link/, as all mailed links, so that logs leave out what follows.
    path("link/report/<str:token>/", UnsubscribeView.as_view(), name="unsubscribe"),
]
