"""The JSON API: which address below ``/api/`` is answered by what."""

from django.urls import URLPattern, URLResolver, include, path, re_path

from chatbot_project import api_docs, api_health
from chatbot_project.lib.api.errors import not_found_view

# Each app's own part: path("", include("app.api.urls")).
v1_patterns: list[URLPattern | URLResolver] = [
    path("health", api_health.HealthView.as_view()),
    path("", include("analytics.api.urls")),
    path("", include("accounts.api.urls")),
    path("", include("conversations.api.urls")),
    path("", include("faqs.api.urls")),
    path("", include("personas.api.urls")),
]

# Below ``/v1/``, where OpenAI's clients look.
openai_patterns: list[URLPattern | URLResolver] = [
    path("", include("conversations.openai_api.urls")),
    re_path(r"^(?P<rest>.*)$", not_found_view),
]

urlpatterns = [
    path("schema/", api_docs.schema, name="api-schema"),
    path("asyncapi.json", api_docs.asyncapi, name="asyncapi"),
    path("v1/", include(v1_patterns)),
    re_path(r"^(?P<rest>.*)$", not_found_view),  # last: no address of the API is answered with a page
]
