"""The pages about one's own data. Guests have the same rights in theirs."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView, View

from accounts.models import Consent, Purpose, User
from accounts.pages import current_person, next_page
from accounts.privacy import consents
from chatbot_project.lib import markdown
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
        return super().get_context_data(**kwargs, asked=asked)


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
