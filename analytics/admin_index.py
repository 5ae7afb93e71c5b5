"""What the admin's first page tells of the last seven days, for those who may see figures."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from accounts.models import User
from analytics.pages.figures import Figure, figures
from analytics.rollups import reporting_zone
from analytics.totals import EVERYTHING, before, last_days, read_totals

DAYS = 7
HEADLINES = ("active_weekly", "questions", "first_token_p95", "satisfaction", "unknown_rate", "gap_questions")


def with_figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The page's context with ``figures``; the setting ``UNFOLD["DASHBOARD_CALLBACK"]`` names this."""
    user = request.user
    seen = isinstance(user, User) and user.has_perm("analytics.view_figures")
    return {**context, "figures": _headlines() if seen else []}


def _headlines() -> Sequence[Figure]:
    zone = reporting_zone()
    week = last_days(DAYS, timezone.localdate(timezone=zone), zone)
    return list(figures(read_totals(week), read_totals(before(week)), EVERYTHING, HEADLINES).values())
