"""One person in figures: one's own for everyone, another's for staff with a reason. Nothing of what was said, and
nothing is left out of one's own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import ceil
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.models import User
from accounts.pages import current_person
from analytics.charts import Chart, Kind, Tone
from analytics.metrics import METRICS
from analytics.pages.asking import PRESETS, Asked, read_days
from analytics.pages.figures import Figure
from analytics.pages.sections import AllFigures
from analytics.pages.series import counted, over_time
from analytics.pages.tables import Sheet, part_response
from analytics.person_access import Opened, find_person, open_again, open_person
from analytics.person_figures import read_person
from analytics.rollups import reporting_zone
from analytics.totals import Totals
from chatbot_project.lib.errors import ApplicationError
from conversations.moderation import MIN_REASON

#: What can be told of one person.
FIGURES = (
    *("conversations", "questions", "replies", "length", "depth"),
    *("first_token_p50", "first_token_p95", "whole_p50", "whole_p95"),
    *("completed_rate", "stop_rate", "interrupted_rate", "failed_rate"),
    *("direct_answers", "unknown_rate", "handed_over"),
    *("helpful", "not_helpful", "comments"),
    *("prompt_tokens", "completion_tokens"),
)


class ReasonForm(forms.Form):
    """Why somebody's figures have to be looked at."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"), min_length=MIN_REASON, max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("At least 10 characters. It is recorded first, and the person sees it with your name."),
    )  # fmt: skip


class PersonPage:
    """All that the page shows of one person. Where it is not their own, no link leads on: what is opened by a reason is
    not opened by an address."""

    def __init__(self, asked: Asked, person: User, *, is_own: bool = True) -> None:
        self.asked, self.person, self.is_own = asked, person, is_own
        self.now, self.groups = read_person(person, asked.period, asked.grain)
        then, _groups = read_person(person, asked.before, asked.grain)
        self.figures = {name: _figure(name, self.now, then) for name in FIGURES}

    @property
    def is_empty(self) -> bool:
        return not (self.now.conversations or self.now.questions or self.now.replies)

    @cached_property
    def charts(self) -> Sequence[Chart]:
        drawn = [
            over_time(
                self.asked, self.groups, key="questions", title=_("Questions"), names=["questions"], kind=Kind.BARS
            ),
            counted(
                self.asked, self.groups, key="endings", title=_("How replies ended"),
                of=[
                    (_("completed"), lambda t: t.completed, Tone.GOOD),
                    (_("stopped"), lambda t: t.stopped, Tone.PLAIN),
                    (_("interrupted"), lambda t: t.interrupted, Tone.WARN),
                    (_("failed"), lambda t: t.failed, Tone.BAD),
                ],
            ),
        ]  # fmt: skip
        return drawn if self.is_own else [replace(chart, links=(), csv_url="") for chart in drawn]

    def sheets(self) -> Mapping[str, Sheet]:
        parts: list[Sheet] = [AllFigures(self.figures), *self.charts]
        return {part.key: part for part in parts}


def _figure(name: str, now: Totals, before: Totals) -> Figure:
    return Figure(METRICS[name], METRICS[name].of(now), METRICS[name].of(before))


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def person(request: HttpRequest, person_id: UUID) -> HttpResponseBase:
    """One's own at once. Another's once a reason is given by POST, for a while; else as if there were nobody."""
    caller = current_person(request)
    if caller is None:
        return redirect_to_login(request.get_full_path())
    if person_id != caller.pk and caller.lacks_second_factor:
        return redirect(f"{reverse('accounts:second_factor')}?{urlencode({'next': request.path})}")
    found = find_person(caller, person_id)
    return _own(request, caller) if found == caller else _anothers(request, caller, found)


def _own(request: HttpRequest, caller: User) -> HttpResponse:
    page = PersonPage(read_days(request.GET), caller)
    if request.GET.get("format") == "csv":
        return part_response(page.sheets(), request.GET.get("part"), f"nono-{page.asked.name}")
    return render(request, "analytics/person.html", _context(page.asked) | {"page": page, "person": caller})


def _anothers(request: HttpRequest, caller: User, found: User) -> HttpResponse:
    asked = read_days(request.POST or request.GET)
    form = ReasonForm(request.POST if "reason" in request.POST else None)
    opened = _opened(request, caller, found, form) if request.method == "POST" else None
    context = _context(asked) | {"person": found, "form": form}
    if opened is None:
        return render(request, "analytics/person_reason.html", context)
    page = PersonPage(asked, found, is_own=False)
    if request.POST.get("format") == "csv":
        return part_response(page.sheets(), request.POST.get("part"), f"nono-{page.asked.name}")
    response = render(request, "analytics/person.html", context | {"page": page, "opened": opened, "presets": PRESETS})
    seconds = max(0, ceil((opened.ends_at - timezone.now()).total_seconds()))
    response.headers["Refresh"] = f"{seconds}; url={request.path}"  # a page that is left open asks why again
    return response


def _opened(request: HttpRequest, caller: User, found: User, form: ReasonForm) -> Opened | None:
    """What the request opens; None, with an error on ``form``, where it opens nothing."""
    try:
        if access := request.POST.get("access"):
            return open_again(actor=caller, person=found, access=access)
        if form.is_valid():
            return open_person(actor=caller, person=found, reason=form.cleaned_data["reason"])
    except ApplicationError as error:
        if error.status == 403:
            raise
        form.errors["reason"] = form.error_class([error.detail])
    return None


def _context(asked: Asked) -> dict[str, Any]:
    return {"asked": asked, "tab": "person", "zone": reporting_zone().key}
