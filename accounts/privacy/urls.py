from django.urls import path

from accounts.privacy import erasure_views, views

app_name = "privacy"
urlpatterns = [
    path("", views.PrivacyView.as_view(), name="home"),
    path("erase/", erasure_views.EraseView.as_view(), name="erase"),
    path("restriction/", views.RestrictView.as_view(), name="restrict"),
    path("export/", views.request_export, name="request_export"),
    path("consents/<slug:purpose>/", views.DecideView.as_view(), name="decide"),
]
