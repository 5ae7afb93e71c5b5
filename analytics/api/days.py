"""``from`` and ``to``: days in the query of a request, as the caller's calendar has them."""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter

from analytics.period import Period
from chatbot_project.lib.api.errors import InvalidInput

MOST_DAYS = 366
USUAL_DAYS = 30
EARLIEST, LATEST = date(2000, 1, 1), date(2199, 12, 31)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_DAY_SCHEMA = {"type": "string", "format": "date", "pattern": "^2[01][0-9]{2}-[0-9]{2}-[0-9]{2}$"}
FROM = OpenApiParameter("from", _DAY_SCHEMA, description="The first day, from 2000-01-01 on.")
TO = OpenApiParameter("to", _DAY_SCHEMA, description="The last day, which is included.")
DAYS_DESCRIPTION = (
    "Days go from midnight to midnight in the time zone that the caller has chosen (`timezone` of `GET me`), else in "
    f"UTC. Without `from` they are {USUAL_DAYS}, without `to` they go on until today; {MOST_DAYS} at most."
)


def read_day(query: Mapping[str, Any], name: str) -> date | None:
    """The day that ``name`` of the query names; ``None`` where it is left out. Raises InvalidInput (400)."""
    text = query.get(name)
    if text is None:
        return None
    try:
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or not EARLIEST <= day <= LATEST:
        raise InvalidInput({name: [_("This is a day such as 2026-03-31.")]})
    return day


def read_period(query: Mapping[str, Any], zone: ZoneInfo) -> Period:
    """The period that ``from`` and ``to`` name. Raises InvalidInput (400)."""
    first, last = read_day(query, "from"), read_day(query, "to")
    if last is None:
        today = timezone.localdate(timezone=zone)
        last = today if first is None else min(max(first, today), first + timedelta(days=MOST_DAYS - 1))
    if first is None:
        first = last - timedelta(days=USUAL_DAYS - 1)
    if first > last:
        raise InvalidInput({"from": [_("This lies behind the last day.")]})
    if (last - first).days >= MOST_DAYS:
        raise InvalidInput({"from": [_("At most %(most)d days at once.") % {"most": MOST_DAYS}]})
    return Period(first, last, zone)
