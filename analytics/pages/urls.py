"""Where the pages of figures live."""

from django.urls import path

from analytics.moods import pages as moods
from analytics.pages import overview

app_name = "analytics"
urlpatterns = [
    path("", overview.overview, name="overview"),
    path("moods/", moods.moods, name="moods"),
]
