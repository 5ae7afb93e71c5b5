"""The overview: all figures of the range that is asked for, beside those of the period before."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.models import User
from analytics.charts import Chart, Kind, Tone
from analytics.metrics import Group
from analytics.models import RollupState
from analytics.pages.access import staff_page
from analytics.pages.asking import Asked, read_asked
from analytics.pages.figures import Figure, by_group, figures
from analytics.pages.series import counted, over_time
from analytics.rollups import reporting_zone
from analytics.totals import read_groups, read_totals

TITLES: dict[Group, str | Promise] = {
    Group.PEOPLE: gettext_lazy("People"),
    Group.TALK: gettext_lazy("Conversations"),
    Group.SPEED: gettext_lazy("Speed"),
    Group.ENDINGS: gettext_lazy("How replies ended"),
    Group.KNOWLEDGE: gettext_lazy("Knowledge"),
    Group.OPINION: gettext_lazy("What people think of it"),
    Group.COST: gettext_lazy("Tokens and cost"),
    Group.SAFETY: gettext_lazy("Safety"),
    Group.RIGHTS: gettext_lazy("Rights of people"),
}


@dataclass(frozen=True, slots=True)
class Section:
    """Figures that stand together, and the charts of them."""

    key: str
    title: str | Promise
    figures: Sequence[Figure]
    charts: Sequence[Chart] = field(default_factory=tuple)


def page_context(asked: Asked, *, tab: str) -> dict[str, object]:
    """What templates/analytics/base.html needs of every page of figures; ``tab`` is the page in its navigation."""
    counted_until = RollupState.objects.values_list("counted_until", flat=True).first()
    return {"asked": asked, "tab": tab, "counted_until": counted_until, "zone": reporting_zone().key}


@require_GET
@never_cache
@staff_page()
def overview(request: HttpRequest, user: User) -> HttpResponse:
    asked = read_asked(request.GET)
    context = page_context(asked, tab="overview")
    return render(request, "analytics/overview.html", {**context, "sections": sections(asked)})


def sections(asked: Asked) -> list[Section]:
    now, then = read_totals(asked.period, asked.filters), read_totals(asked.before, asked.filters)
    groups = read_groups(asked.period, asked.grain, asked.filters)
    charts: dict[Group, Sequence[Chart]] = {
        Group.TALK: [
            over_time(asked, groups, key="questions", title=_("Questions"), names=["questions"], kind=Kind.BARS),
            over_time(
                asked, groups, key="conversations", title=_("Conversations"),
                names=["conversations"], kind=Kind.BARS,
            ),
        ],
        Group.SPEED: [
            over_time(
                asked, groups, key="first-token", title=_("Time to the first token"),
                names=["first_token_p50", "first_token_p95", "first_token_p99"],
            ),
        ],
        Group.ENDINGS: [
            counted(
                asked, groups, key="endings", title=_("How replies ended"),
                of=[
                    (_("completed"), lambda t: t.completed, Tone.GOOD),
                    (_("stopped"), lambda t: t.stopped, Tone.PLAIN),
                    (_("interrupted"), lambda t: t.interrupted, Tone.WARN),
                    (_("failed"), lambda t: t.failed, Tone.BAD),
                ],
            ),
        ],
    }  # fmt: skip
    of_group = by_group(figures(now, then))
    return [Section(group.value, TITLES[group], of_group[group], charts.get(group, ())) for group in Group]
