"""This app's pages, the admin, and stand-ins for the pages of apps above it that the templates name."""

from django.contrib import admin
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.utils import timezone, translation


def whoami(request: HttpRequest, **kwargs: object) -> JsonResponse:
    person = request.user
    return JsonResponse(
        {
            "id": str(person.pk) if person.is_authenticated else None,
            "language": translation.get_language(),
            "time_zone": timezone.get_current_timezone_name(),
        }
    )


conversations = ([path("", whoami, name="home"), path("held-back/", whoami, name="held_back")], "conversations")
faqs = ([path("", whoami, name="home")], "faqs")
analytics = ([path("", whoami, name="overview"), path("people/<uuid:person_id>/", whoami, name="person")], "analytics")
urlpatterns = [
    path("docs", whoami, name="swagger"),
    path("", include(conversations)),
    path("help/", include(faqs)),
    path("analytics/", include(analytics)),
    path("whoami/", whoami),
    path("privacy/", include("accounts.privacy.urls")),
    path("accounts/", include("accounts.urls")),
    path("api/v1/", include("accounts.api.urls")),
    path("admin/", admin.site.urls),
]
