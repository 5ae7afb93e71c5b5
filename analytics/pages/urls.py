"""Where the pages of figures live."""

from django.urls import path

from analytics.moods import pages as moods
from analytics.pages import faqs, overview, people, personas

app_name = "analytics"
urlpatterns = [
    path("", overview.overview, name="overview"),
    path("moods/", moods.moods, name="moods"),
    path("personas/<slug:slug>/", personas.persona, name="persona"),
    path("faqs/", faqs.faqs, name="faqs"),
    path("faqs/<uuid:faq_id>/", faqs.faq, name="faq"),
    path("people/<uuid:person_id>/", people.person, name="person"),
]
