"""The pages about one's API keys: see them, make one, revoke one."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from accounts import api_keys
from accounts.forms import NewKeyForm
from accounts.pages import FormPage, MemberRequired, member_of


class KeysView(MemberRequired, FormPage):
    """A person's keys, and a form for a new one, whose text stands in the answer to it and nowhere else."""

    form_class = NewKeyForm
    template_name = "accounts/keys.html"

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": member_of(self.request)}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        keys = api_keys.live_keys(member_of(self.request))
        return super().get_context_data(**{"keys": keys, "base_url": settings.BASE_URL, **kwargs})

    def form_valid(self, form: NewKeyForm) -> HttpResponse:
        user, data = member_of(self.request), form.cleaned_data
        key, text = api_keys.create_key(user=user, name=data["name"], scopes=data["scopes"], expires_at=form.expires_at)
        # No redirect: what would carry the text over to the next page would have to store it.
        context = self.get_context_data(form=NewKeyForm(user=user), made=key, made_text=text)
        return self.render_to_response(context)


@method_decorator(never_cache, name="dispatch")
class RevokeKeyView(MemberRequired, TemplateView):
    """Asks, and revokes."""

    template_name = "accounts/revoke_key.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        key = api_keys.own_key(user=member_of(self.request), key_id=self.kwargs["key_id"])
        return super().get_context_data(**kwargs, key=key)

    def post(self, request: HttpRequest, key_id: UUID) -> HttpResponse:
        api_keys.revoke_key(user=member_of(request), key_id=key_id)
        messages.success(request, _("The key is revoked."))
        return redirect("accounts:keys")
