"""Who may see the pages of figures."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec
from urllib.parse import urlencode

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.pages import current_member
from chatbot_project.lib.errors import ApplicationError

Params = ParamSpec("Params")
FIGURES, PRICES = "analytics.view_figures", "analytics.view_price"


def staff_page(
    permission: str = FIGURES,
) -> Callable[
    [Callable[Concatenate[HttpRequest, User, Params], HttpResponseBase]],
    Callable[Concatenate[HttpRequest, Params], HttpResponseBase],
]:
    """Give the view the person who asks, where they have ``permission``. Others as the admin does: who is not signed in
    signs in, who lacks the second factor shows it, anybody else is refused (``forbidden``, 403)."""

    def guard(
        view: Callable[Concatenate[HttpRequest, User, Params], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, Params], HttpResponseBase]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: Params.args, **kwargs: Params.kwargs) -> HttpResponseBase:
            member = current_member(request)
            if member is None:
                return redirect_to_login(request.get_full_path())
            if member.has_perm(permission):
                return view(request, member, *args, **kwargs)
            if member.lacks_second_factor:
                return redirect(f"{reverse('accounts:second_factor')}?{urlencode({'next': request.get_full_path()})}")
            detail = _("This part is for staff. Sign out first if you have another account.")
            raise ApplicationError("forbidden", detail, status=403)

        return guarded

    return guard
