"""The help pages' addresses."""

from django.urls import path

from faqs import views

app_name = "faqs"
urlpatterns = [
    path("", views.home, name="home"),
    path("category/<slug:slug>/", views.category, name="category"),
    path("faq/<uuid:faq_id>/", views.faq, name="faq"),
    path("faq/<uuid:faq_id>/feedback/", views.feedback, name="feedback"),
]
