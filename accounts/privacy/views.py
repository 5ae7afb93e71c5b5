"""The pages about one's own data. Guests have the same rights in theirs."""

from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST
from django.views.generic import TemplateView, View

from accounts import restriction
from accounts.models import Consent, DataRequest, Purpose, User
from accounts.pages import current_person, next_page
from accounts.privacy import consents, exports
from chatbot_project.lib import markdown
from chatbot_project.lib.api.pieces import PiecewiseResponse
from chatbot_project.lib.errors import ApplicationError


class PersonPage(LoginRequiredMixin):
    """For whoever is signed in."""

    request: HttpRequest

    @property
    def person(self) -> User:
        person = current_person(self.request)
        assert person is not None
        return person


@method_decorator(never_cache, name="dispatch")
class PrivacyView(PersonPage, TemplateView):
    """What somebody has agreed to, and what they can ask for."""

    template_name = "privacy/home.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        asked = [
            {"standing": each, "text": text, "html": markdown.render(text.body)}
            for each in consents.standings(self.person)
            for text in [each.policy.text()]
        ]
        found = DataRequest.objects.filter(user=self.person, kind=DataRequest.Kind.EXPORT).order_by("-id").first()
        ready = exports.ready_export(self.person)
        link = reverse("accounts:export", args=[exports.export_token(ready)]) if ready else ""
        return super().get_context_data(**kwargs, asked=asked, export=found, export_link=link)


class DecideView(PersonPage, View):
    """Takes ``granted`` (1 or 0) and the ``version`` that was shown; ``from`` says where it was asked."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, purpose: str) -> HttpResponse:
        if purpose not in Purpose.values:
            raise Http404
        granted = request.POST.get("granted") == "1"
        version = request.POST.get("version", "")
        source = Consent.Source.NOTICE if request.POST.get("from") == "notice" else Consent.Source.PAGE
        try:
            consents.decide(
                user=self.person,
                purpose=purpose,
                granted=granted,
                version=int(version) if version.isascii() and version.isdigit() and len(version) < 7 else 0,
                source=source,
            )
        except ApplicationError as error:
            messages.error(request, error.detail)
        else:
            if source == Consent.Source.PAGE:
                messages.success(request, _("You agree.") if granted else _("You do not agree. This holds at once."))
        return redirect(next_page(request, else_to=resolve_url("privacy:home")))


@require_POST
@login_required
def request_export(request: HttpRequest) -> HttpResponse:
    """Have a copy of one's data made."""
    person = current_person(request)
    assert person is not None
    exports.request_export(user=person)
    return redirect("privacy:home")


class RestrictView(PersonPage, View):
    """Pauses the processing of one's data with ``paused`` 1, and lifts that with 0."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        person, paused = self.person, request.POST.get("paused") == "1"
        change = restriction.restrict if paused else restriction.resume
        try:
            change(actor=person, user=person)
        except ApplicationError as error:
            messages.error(request, error.detail)
        else:
            messages.success(request, _("Processing is paused.") if paused else _("Processing goes on."))
        return redirect("privacy:home")


@method_decorator(never_cache, name="dispatch")
class ExportView(PersonPage, TemplateView):
    """Where the link to a copy leads. Looking changes nothing; fetching uses the link up. Another's link, one that was
    used and one that has expired are not there."""

    template_name = "privacy/export.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, export=self._export())

    def post(self, request: HttpRequest, token: str) -> HttpResponseBase:
        data = exports.take_export(user=self.person, request_id=self._export().pk)
        if data is None:
            raise Http404
        return zip_response(data)

    def _export(self) -> DataRequest:
        found = exports.find_export(user=self.person, token=self.kwargs["token"])
        if found is None:
            raise Http404
        return found


def zip_response(data: Iterator[bytes]) -> PiecewiseResponse:
    """A copy as a file to keep."""
    response = PiecewiseResponse(data, content_type="application/zip")
    response.headers["Content-Disposition"] = f'attachment; filename="nono-{timezone.now():%Y-%m-%d}.zip"'
    response.headers["Cache-Control"] = "no-store"
    return response
