from django.urls import path

from personas.api import persona_views, version_views

urlpatterns = [
    path("personas", persona_views.PersonasView.as_view()),
    path("personas/<slug:slug>", persona_views.PersonaView.as_view()),
    path("personas/<slug:slug>/draft", version_views.DraftView.as_view()),
    path("personas/<slug:slug>/publish", version_views.PublishView.as_view()),
    path("personas/<slug:slug>/roll-back", version_views.RollBackView.as_view()),
    path("personas/<slug:slug>/archive", version_views.ArchiveView.as_view()),
    path("personas/<slug:slug>/restore", version_views.RestoreView.as_view()),
    path("personas/<slug:slug>/versions", version_views.VersionsView.as_view()),
    path("personas/<slug:slug>/versions/<int:number>", version_views.VersionView.as_view()),
    path("personas/<slug:slug>/diff", version_views.DiffView.as_view()),
]
