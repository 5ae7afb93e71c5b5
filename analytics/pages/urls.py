"""Where the pages of figures live."""

from django.urls import path

from analytics.moods import pages as moods
from analytics.pages import faqs, overview, people, personas
from analytics.quality import pages as quality

app_name = "analytics"
urlpatterns = [
    path("", overview.overview, name="overview"),
    path("moods/", moods.moods, name="moods"),
    path("personas/<slug:slug>/", personas.persona, name="persona"),
    path("faqs/", faqs.faqs, name="faqs"),
    path("faqs/<uuid:faq_id>/", faqs.faq, name="faq"),
    path("people/<uuid:person_id>/", people.person, name="person"),
    path("quality/", quality.quality, name="quality"),
    path("quality/take/", quality.take, name="quality_take"),
    path("quality/reviews/<uuid:review_id>/", quality.review, name="quality_review"),
    path("quality/reviews/<uuid:review_id>/give-back/", quality.give_back, name="quality_give_back"),
]
