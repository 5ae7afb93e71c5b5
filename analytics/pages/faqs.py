"""FAQs in figures: lists of those that want an editor's eye, and a page for each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.models import User
from analytics.charts import Chart, Kind, Tone
from analytics.faq_figures import (
    SETTLED_AFTER,
    STALE_AFTER,
    FAQLine,
    Sort,
    State,
    count_faqs,
    gaps_near,
    last_used,
    list_faqs,
    read_faq,
    read_faq_by,
    state_of,
)
from analytics.intervals import Interval, wilson
from analytics.metrics import FAQ_METRICS
from analytics.pages.access import staff_page
from analytics.pages.asking import Asked, read_days
from analytics.pages.figures import told
from analytics.pages.marks import marks
from analytics.pages.overview import page_context
from analytics.pages.sections import AllFigures
from analytics.pages.series import counted
from analytics.pages.shares import interval_told, noted
from analytics.pages.tables import Sheet, csv_response, part_response
from analytics.suppression import FEWEST_PEOPLE, ShownValue, Suppressed, shown_uses
from analytics.totals import Totals
from chatbot_project.lib.errors import ApplicationError, NotFound
from faqs.models import FAQ, FAQVersion

PAGE = 25
SORTS: Mapping[Sort, tuple[str | Promise, str | Promise]] = {
    Sort.MOST_USED: (gettext_lazy("Most used"), gettext_lazy("FAQs that replies of these days cite.")),
    Sort.LEAST_HELPFUL: (
        gettext_lazy("Least helpful"),
        gettext_lazy(
            "By the thumbs on replies that cite them. First those of which it is surest: many thumbs, few up."
        ),
    ),
    Sort.STALE: (
        gettext_lazy("Old but used"),
        gettext_lazy("Cited in these days, and not changed for %(days)d days: read them again."),
    ),
    Sort.NEVER_USED: (
        gettext_lazy("Never used"),
        gettext_lazy("Published for %(settled)d days, and no reply has ever cited them."),
    ),
}
STATES: Mapping[State, str | Promise] = {
    State.STALE: gettext_lazy("old but used"),
    State.NEVER_USED: gettext_lazy("never used"),
    State.FINE: "",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the list, as people read it. Days are those of the reports."""

    faq: FAQLine
    last_used: date | None
    changed: date

    @property
    def state(self) -> str:
        return str(STATES[self.faq.state])

    @property
    def status(self) -> str:
        return str(FAQ.Status(self.faq.status).label)

    @property
    def totals(self) -> Totals | Suppressed:
        return shown_uses(self.faq.totals)

    @property
    def is_hidden(self) -> bool:
        return isinstance(self.totals, Suppressed)

    def values(self, *names: str) -> list[ShownValue]:
        """Of FAQ_METRICS, without their prefix."""
        totals = self.totals
        metrics = [FAQ_METRICS[f"faq_{name}"] for name in names]
        return [totals if isinstance(totals, Suppressed) else metric.of(totals) for metric in metrics]

    @property
    def cited(self) -> str:
        return told(FAQ_METRICS["faq_cited"], *self.values("cited"))

    @property
    def direct(self) -> str:
        return "–" if self.is_hidden else told(FAQ_METRICS["faq_direct"], *self.values("direct"))

    @property
    def helpfulness(self) -> str:
        return "–" if self.is_hidden else told(FAQ_METRICS["faq_satisfaction"], *self.values("satisfaction"))

    @property
    def ends(self) -> Interval | None:
        """Between which the helpfulness lies with 95 % certainty."""
        totals = self.totals
        return None if isinstance(totals, Suppressed) else wilson(totals.helpful, totals.helpful + totals.not_helpful)

    @property
    def interval(self) -> str:
        return "" if self.ends is None else interval_told(self.ends)


@dataclass(frozen=True)
class FAQList:
    """A list of FAQs, as the page shows it and as a file has it as a whole."""

    asked: Asked
    sort: Sort
    key: str = "faqs"

    def lines(self, first: int = 0, most: int | None = None) -> Sequence[Line]:
        zone = self.asked.period.zone
        return [
            Line(faq, _day(faq.last_used, zone), faq.updated_at.astimezone(zone).date())
            for faq in list_faqs(self.asked.period, self.sort, first=first, most=most)
        ]

    def sheet(self) -> Iterable[Sequence[Any]]:
        names = ("cited", "direct", "helpful", "not_helpful", "satisfaction")
        yield [
            *("id", _("FAQ"), _("Language"), _("Status")), *(str(FAQ_METRICS[f"faq_{name}"].label) for name in names),
            *(_("at least (95 %)"), _("at most (95 %)"), _("last used"), _("last changed"), _("Note")),
        ]  # fmt: skip
        for line in self.lines():
            faq = line.faq
            values = [str(value) if isinstance(value, Suppressed) else value for value in line.values(*names)]
            named = [str(faq.id), faq.question, faq.language, faq.status]
            yield [*named, *values, *(line.ends or ("", "")), line.last_used or "", line.changed, line.state]


def _day(at: datetime | None, zone: Any) -> date | None:
    return None if at is None else at.astimezone(zone).date()


@require_GET
@never_cache
@staff_page()
def faqs(request: HttpRequest, user: User) -> HttpResponse:
    """A list of FAQs by ``sort``, in pages; with ``format=csv`` all of it as a file."""
    sort = _sort(request.GET.get("sort", ""))
    also = {} if sort == Sort.MOST_USED else {"sort": sort.value}
    asked = read_days(request.GET, also=also, hourly=False)
    listed = FAQList(asked, sort)
    if request.GET.get("format") == "csv":
        return csv_response(f"nono-faqs-{sort}-{asked.name}", listed.sheet())
    page = Paginator(range(count_faqs(asked.period, sort)), PAGE).get_page(request.GET.get("page"))
    lines = listed.lines(first=(page.number - 1) * PAGE, most=PAGE)
    numbers = {"days": STALE_AFTER.days, "settled": SETTLED_AFTER.days}
    context = {
        "lines": lines,
        "page": page,
        "sorts": [(asked.query_with(sort=each.value), label, each == sort) for each, (label, _about) in SORTS.items()],
        "about": str(SORTS[sort][1]) % numbers,
        "earlier": asked.query_with(page=str(page.number - 1)),
        "further": asked.query_with(page=str(page.number + 1)),
        "csv_url": f"?{asked.query_with(format='csv')}",
    }
    return render(request, "analytics/faqs.html", page_context(asked, tab="faqs") | context | {"is_alone": True})


def _sort(name: str) -> Sort:
    try:
        return Sort(name or Sort.MOST_USED)
    except ValueError:
        raise ApplicationError("invalid", _("There is no list of that name."), status=400) from None


class FAQPage:
    """All that the page of one FAQ shows."""

    def __init__(self, asked: Asked, faq: FAQ, user: User) -> None:
        self.faq, self.user = faq, user
        self.now, then = read_faq(faq.pk, asked.period), read_faq(faq.pk, asked.before)
        # Weeks, where most days would be of too few uses to be shown.
        self.asked = replace(asked, weekly=self.now.cited < FEWEST_PEOPLE * asked.days)
        now, before = shown_uses(self.now), shown_uses(then)
        self.figures = {name: noted(metric, now, before) for name, metric in FAQ_METRICS.items()}
        zone = asked.period.zone
        at = last_used(faq.pk)
        self.last_used, self.changed = _day(at, zone), faq.updated_at.astimezone(zone).date()
        self.published = _day(faq.published_at, zone)
        self.state = state_of(faq.status, faq.updated_at, faq.published_at, at, self.now)

    @property
    def state_told(self) -> str:
        return str(STATES[self.state])

    @cached_property
    def charts(self) -> Sequence[Chart]:
        asked = self.asked
        read = read_faq_by(self.faq.pk, asked.period, asked.grain)
        groups = {start: shown_uses(totals) for start, totals in read.items()}
        edits = FAQVersion.objects.filter(faq=self.faq, number__gt=1).values_list("created_at", "number")
        changed = marks(asked, edits, _("%(version)s: changed on %(day)s"))
        uses = counted(
            asked, groups, key="uses", title=_("Uses"), kind=Kind.BARS, metric=FAQ_METRICS["faq_cited"],
            of=[
                (_("given as it is"), lambda t: t.counts.get("direct", 0), Tone.MAIN),
                (_("as a source"), lambda t: t.counts.get("cited", 0) - t.counts.get("direct", 0), Tone.SECOND),
            ],
        )  # fmt: skip
        thumbs = counted(
            asked, groups, key="thumbs", title=_("Thumbs"), kind=Kind.BARS, metric=FAQ_METRICS["faq_cited"],
            of=[
                (_("thumbs up"), lambda t: t.helpful, Tone.GOOD),
                (_("thumbs down"), lambda t: t.not_helpful, Tone.BAD),
            ],
        )  # fmt: skip
        return [replace(chart, marks=changed) for chart in (uses, thumbs)]

    @cached_property
    def gaps(self) -> Sequence[Any]:
        return gaps_near(self.faq.pk) if self.user.has_perm("faqs.view_gap") else []

    @property
    def links(self) -> Iterable[tuple[str, str]]:
        """Where an editor goes on: address and name."""
        if self.user.has_perm("faqs.view_faq"):
            yield reverse("admin:faqs_faq_change", args=[self.faq.pk]), _("Edit it")
            yield reverse("admin:faqs_faq_versions", args=[self.faq.pk]), _("What was changed")
        if self.faq.is_in_force():
            yield reverse("faqs:faq", args=[self.faq.pk]), _("As readers see it")

    def sheets(self) -> dict[str, Sheet]:
        parts: list[Sheet] = [AllFigures(self.figures), *self.charts]
        return {part.key: part for part in parts}


@require_GET
@never_cache
@staff_page()
def faq(request: HttpRequest, user: User, faq_id: UUID) -> HttpResponse:
    """One FAQ; with ``format=csv`` the part that ``part`` names, as a file."""
    found = FAQ.objects.select_related("category").defer("answer", "search").filter(pk=faq_id).first()
    if found is None:
        raise NotFound(_("There is no such FAQ."))
    page = FAQPage(read_days(request.GET, hourly=False), found, user)
    if request.GET.get("format") == "csv":
        return part_response(page.sheets(), request.GET.get("part"), f"nono-faq-{page.asked.name}")
    return render(request, "analytics/faq.html", page_context(page.asked, tab="faqs") | {"page": page, "faq": found})
