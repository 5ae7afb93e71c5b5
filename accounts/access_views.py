"""The page that tells a person who looked at their data."""

from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from accounts.access_log import MOST, looks_at
from accounts.pages import current_person


@method_decorator(never_cache, name="dispatch")
class AccessLogView(LoginRequiredMixin, TemplateView):
    """Who, in which role, looked at what, when and why; for guests, too."""

    template_name = "accounts/access_log.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        person = current_person(self.request)
        assert person is not None
        return super().get_context_data(**kwargs, looks=looks_at(person), most=MOST)
