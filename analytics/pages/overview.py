"""The overview: all figures of the days that are asked for, beside those of the period before."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.models import User
from analytics.live import read_now
from analytics.models import RollupState
from analytics.pages.access import PRICES, staff_page
from analytics.pages.asking import Asked, read_asked
from analytics.pages.keeping import kept_sections
from analytics.pages.readying import note_asked
from analytics.pages.sections import Overview
from analytics.pages.tables import csv_response
from analytics.rollups import reporting_zone
from chatbot_project.lib.errors import NotFound


def page_context(asked: Asked, *, tab: str) -> dict[str, object]:
    """What templates/analytics/base.html needs of every page of figures; ``tab`` is the page in its navigation."""
    counted_until = RollupState.objects.values_list("counted_until", flat=True).first()
    return {"asked": asked, "tab": tab, "counted_until": counted_until, "zone": reporting_zone().key}


@require_GET
@never_cache
@staff_page()
def overview(request: HttpRequest, user: User) -> HttpResponse:
    """With ``format=csv`` the part that ``part`` names, as a file."""
    asked = read_asked(request.GET)
    shown = Overview(asked, prices=user.has_perm(PRICES))
    if request.GET.get("format") == "csv":
        part = shown.sheets().get(request.GET.get("part", "figures"))
        if part is None:
            raise NotFound(_("There is no such table here."))
        days = f"{asked.period.first.isoformat()}-{asked.period.last.isoformat()}"
        return csv_response(f"nono-{part.key}-{days}", part.sheet())
    note_asked(asked, prices=shown.prices)
    context = page_context(asked, tab="overview")
    context |= {"overview": shown, "sections": kept_sections(request.path, shown), "live": read_now()}
    return render(request, "analytics/overview.html", context)
