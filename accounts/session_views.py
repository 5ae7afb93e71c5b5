"""The page that says where one is signed in, and ends a sign-in."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView, View

from accounts.credentials import Credential, Kind
from accounts.pages import MemberRequired, member_of
from accounts.sign_ins import SignIn, end_sign_in, sign_ins_of


@method_decorator(never_cache, name="dispatch")
class SessionsView(MemberRequired, TemplateView):
    """Browsers and programs, last used first; the one that asks is marked."""

    template_name = "accounts/sessions.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, sign_ins=_sign_ins(self.request))


class EndSessionView(MemberRequired, View):
    """Ends one sign-in; where it is the one that asks, as signing out does."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, sign_in_id: UUID) -> HttpResponse:
        if any(each.current and each.id == sign_in_id for each in _sign_ins(request)):
            logout(request)
            return redirect("accounts:sign_in")
        end_sign_in(user=member_of(request), sign_in_id=sign_in_id)
        messages.success(request, _("That session has ended."))
        return redirect("accounts:sessions")


def _sign_ins(request: HttpRequest) -> list[SignIn]:
    return sign_ins_of(member_of(request), Credential(Kind.SESSION, request.session.session_key or ""))
