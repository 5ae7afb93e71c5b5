"""The page that ends a subscription to reports."""

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_exempt

from accounts.pages import FormPage
from analytics.models import Subscription
from analytics.reports.subscribing import read_unsubscribe_token, unsubscribe


# The token is what shows that it may be done; mail programs send nothing else (RFC 8058).
@method_decorator(csrf_exempt, name="dispatch")
class UnsubscribeView(FormPage):
    """Where the link of a report's mail leads. Looking at it changes nothing, so that a mail scanner ends nothing; its
    button, or that of a mail program, does."""

    form_class = forms.Form
    heading = gettext_lazy("Get no more reports")
    submit = gettext_lazy("Unsubscribe")

    def form_valid(self, form: forms.Form) -> HttpResponse:
        unsubscribe(self._subscription())
        return render(self.request, "analytics/reports/unsubscribed.html")

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self._subscription()
        return super().get(request, *args, **kwargs)

    def _subscription(self) -> Subscription:
        """Raises Http404 for a link that is not one of ours, or whose subscription is gone."""
        found = read_unsubscribe_token(self.kwargs["token"])
        if found is None:
            raise Http404
        return found
