from django.urls import path

from accounts import access_views, key_views, link_views, second_factor_views, session_views, views
from accounts.privacy import erasure_views
from accounts.privacy import views as privacy_views

app_name = "accounts"
urlpatterns = [
    path("sign-up/", views.SignUpView.as_view(), name="sign_up"),
    path("sign-up/sent/", views.MailSentView.as_view(), {"reason": "sign_up"}, name="sign_up_sent"),
    path("confirm/", views.ResendView.as_view(), name="resend_confirmation"),
    path("confirm/later/", views.dismiss_unverified, name="dismiss_unverified"),
    path("confirm/sent/", views.MailSentView.as_view(), {"reason": "confirm"}, name="confirmation_sent"),
    path("sign-in/", views.SignInView.as_view(), name="sign_in"),
    path("sign-in/code/", second_factor_views.SignInCodeView.as_view(), name="sign_in_code"),
    path("second-factor/", second_factor_views.SecondFactorView.as_view(), name="second_factor"),
    path("second-factor/codes/", second_factor_views.NewCodesView.as_view(), name="recovery_codes"),
    path("second-factor/off/", second_factor_views.TurnOffView.as_view(), name="second_factor_off"),
    path("sign-out/", views.SignOutView.as_view(), name="sign_out"),
    path("sign-out/everywhere/", views.sign_out_everywhere, name="sign_out_everywhere"),
    path("language/", views.choose_language, name="language"),
    path("guest/", views.go_on_as_guest, name="guest"),
    path("password/", views.ChangePasswordView.as_view(), name="change_password"),
    path("password/forgot/", views.ForgotPasswordView.as_view(), name="forgot_password"),
    path("password/forgot/sent/", views.MailSentView.as_view(), {"reason": "reset"}, name="reset_sent"),
    path("profile/", views.ProfileView.as_view(), name="profile"),
    path("keys/", key_views.KeysView.as_view(), name="keys"),
    path("keys/<uuid:key_id>/revoke/", key_views.RevokeKeyView.as_view(), name="revoke_key"),
    path("sessions/", session_views.SessionsView.as_view(), name="sessions"),
    path("sessions/<uuid:sign_in_id>/end/", session_views.EndSessionView.as_view(), name="end_session"),
    path("access-log/", access_views.AccessLogView.as_view(), name="access_log"),
    path("email/", views.ChangeEmailView.as_view(), name="change_email"),
    # All mailed links lie below link/, so that logs can leave out what follows.
    path("link/sign-up/<str:token>/", link_views.ConfirmSignUpView.as_view(), name="confirm_sign_up"),
    path("link/email/<str:token>/", link_views.ConfirmEmailView.as_view(), name="confirm_email"),
    path("link/export/<str:token>/", privacy_views.ExportView.as_view(), name="export"),
    path("link/cancel-erasure/<str:token>/", erasure_views.CancelErasureView.as_view(), name="cancel_erasure"),
    path("link/reset/<str:token>/", link_views.ResetPasswordView.as_view(), name="reset_password"),
]
