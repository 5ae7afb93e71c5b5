"""Which address is answered by what."""

from django.contrib import admin
from django.urls import include, path
from django.views.i18n import JavaScriptCatalog

from chatbot_project import api_docs, health, metrics_page, status
from chatbot_project.api import openai_patterns

handler400 = "chatbot_project.error_pages.bad_request"
handler403 = "chatbot_project.error_pages.forbidden"
handler404 = "chatbot_project.error_pages.not_found"
handler500 = "chatbot_project.error_pages.server_error"

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("status/", status.status, name="status"),
    path("status.json", status.status_json, name="status-json"),
    path("metrics", metrics_page.metrics, name="metrics"),
    path("accounts/", include("accounts.urls")),
    path("accounts/", include("analytics.reports.urls")),  # mailed links
    path("privacy/", include("accounts.privacy.urls")),
    path("admin/", admin.site.urls),
    path("analytics/", include("analytics.pages.urls")),
    path("help/", include("faqs.urls")),
    path("api/", include("chatbot_project.api")),
    path("v1/", include(openai_patterns)),
    path("docs", api_docs.swagger, name="swagger"),
    path("redoc", api_docs.redoc, name="redoc"),
    path("redoc/redoc.js", api_docs.redoc_script, name="redoc-script"),
    path("jsi18n/", JavaScriptCatalog.as_view(), name="javascript-catalog"),
    path("", include("conversations.urls")),
]
