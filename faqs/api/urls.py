from django.urls import path

from faqs.api import category_views, faq_views, file_views, gap_views, history_views, reader_views, state_views

urlpatterns = [
    path("faqs", faq_views.FAQsView.as_view()),
    path("faqs/search", reader_views.SearchView.as_view()),
    path("faqs/import", file_views.ImportView.as_view()),
    path("faqs/export", file_views.ExportView.as_view()),
    path("faqs/<uuid:faq_id>", faq_views.FAQView.as_view()),
    path("faqs/<uuid:faq_id>/feedback", reader_views.FeedbackView.as_view()),
    path("faqs/<uuid:faq_id>/publish", state_views.PublishView.as_view()),
    path("faqs/<uuid:faq_id>/archive", state_views.ArchiveView.as_view()),
    path("faqs/<uuid:faq_id>/unarchive", state_views.UnarchiveView.as_view()),
    path("faqs/<uuid:faq_id>/phrasings", state_views.PhrasingsView.as_view()),
    path("faqs/<uuid:faq_id>/translations/<uuid:other_id>", state_views.TranslationView.as_view()),
    path("faqs/<uuid:faq_id>/versions", history_views.VersionsView.as_view()),
    path("faqs/<uuid:faq_id>/versions/<int:number>", history_views.VersionView.as_view()),
    path("faqs/<uuid:faq_id>/diff", history_views.DiffView.as_view()),
    path("faqs/<uuid:faq_id>/restore", history_views.RestoreView.as_view()),
    path("faq-categories", category_views.CategoriesView.as_view()),
    path("faq-categories/<slug:slug>", category_views.CategoryView.as_view()),
    path("faq-gaps", gap_views.GapsView.as_view()),
    path("faq-gaps/<uuid:gap_id>", gap_views.GapView.as_view()),
    path("faq-gaps/<uuid:gap_id>/dismiss", gap_views.DismissView.as_view()),
    path("faq-gaps/<uuid:gap_id>/reopen", gap_views.ReopenView.as_view()),
    path("faq-gaps/<uuid:gap_id>/draft", gap_views.DraftView.as_view()),
]
