from django.urls import path

from accounts.api import auth_views, key_views, me_views, password_views, privacy_views
from accounts.api import schema as schema  # names the security schemes once it is loaded

urlpatterns = [
    path("auth/register", auth_views.RegisterView.as_view()),
    path("auth/verify-email", auth_views.VerifyEmailView.as_view()),
    path("auth/login", auth_views.LoginView.as_view()),
    path("auth/guest", auth_views.GuestView.as_view()),
    path("auth/refresh", auth_views.RefreshView.as_view()),
    path("auth/logout", auth_views.LogoutView.as_view()),
    path("auth/password/reset", password_views.ResetPasswordView.as_view()),
    path("auth/password/reset/confirm", password_views.ConfirmResetView.as_view()),
    path("auth/password/change", password_views.ChangePasswordView.as_view()),
    path("auth/api-keys", key_views.ApiKeysView.as_view()),
    path("auth/api-keys/<uuid:key_id>", key_views.ApiKeyView.as_view()),
    path("me", me_views.MeView.as_view()),
    path("sessions", me_views.SessionsView.as_view()),
    path("sessions/<uuid:session_id>", me_views.SessionView.as_view()),
    path("privacy/policies", privacy_views.PoliciesView.as_view()),
    path("privacy/consents", privacy_views.ConsentsView.as_view()),
    path("privacy/consents/<slug:purpose>", privacy_views.ConsentView.as_view()),
    path("privacy/exports", privacy_views.ExportsView.as_view()),
    path("privacy/exports/<uuid:export_id>", privacy_views.ExportView.as_view()),
    path("privacy/exports/<uuid:export_id>/fetch", privacy_views.FetchExportView.as_view()),
    path("privacy/restriction", privacy_views.RestrictionView.as_view()),
    path("privacy/erasure", privacy_views.ErasureView.as_view()),
    path("privacy/erasure/cancel", privacy_views.CancelErasureView.as_view()),
    path("chat/ws-ticket", key_views.SocketTicketView.as_view()),
]
