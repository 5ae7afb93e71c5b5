"""What a page of figures is asked for: days and filters, all in its address, so that it can be kept and passed on."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from analytics.cuboids import EVERYTHING
from analytics.models import Grain, Usage
from analytics.period import Period, start_of
from analytics.rollups import reporting_zone
from analytics.totals import By, Filters, before, last_days
from chatbot_project.lib.errors import ApplicationError
from conversations.models import Conversation
from faqs.reading import language_name
from personas.models import Persona, PersonaVersion

MOST_DAYS = 1100
EARLIEST = date(2000, 1, 1)
USUAL = "30"
UNKNOWN_LANGUAGE = "unknown"  # in an address; "" in figures
PRESETS: Mapping[str, str | Promise] = {
    "7": gettext_lazy("7 days"),
    "30": gettext_lazy("30 days"),
    "90": gettext_lazy("90 days"),
    "365": gettext_lazy("365 days"),
    "month": gettext_lazy("This month"),
    "last-month": gettext_lazy("Last month"),
}
DIMENSIONS = ("persona", "version", "model", "language", "channel")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Choice(NamedTuple):
    value: str  # as the address has it
    label: str


class Point(NamedTuple):
    """A bar or dot of a chart over time: its start in UTC, its name, and what stands below the axis ("": nothing)."""

    start: datetime
    label: str
    tick: str
    day: date


@dataclass(frozen=True)
class Asked:
    """``preset`` is "" for days of one's own. ``choices`` are what the filters offer; ``fixed`` are those that the page
    is narrowed to itself. ``also`` is what else stands in the page's address. ``hourly``: a day or two are told by the
    hour; ``weekly``: more than a week is told by weeks."""

    period: Period
    filters: Filters
    preset: str
    choices: Mapping[str, Sequence[Choice]]
    fixed: frozenset[str] = frozenset()
    also: Mapping[str, str] = field(default_factory=dict)
    hourly: bool = True
    weekly: bool = False

    @property
    def before(self) -> Period:
        return before(self.period)

    @property
    def is_narrowed(self) -> bool:
        return bool(self.filters.given.keys() - self.fixed)

    @property
    def days(self) -> int:
        return (self.period.last - self.period.first).days + 1

    @property
    def grain(self) -> By:
        """What a point of a chart is: an hour, a day or a week."""
        if self.weekly and self.days > 7:
            return By.WEEK
        return By.HOUR if self.days <= 2 and self.hourly else By.DAY if self.days <= 92 else By.WEEK

    @cached_property
    def points(self) -> Sequence[Point]:
        """All points of a chart over time, also those of which nothing is known."""
        zone = self.period.zone
        if self.grain == By.DAY:
            days = self.period.days
        elif self.grain == By.WEEK:
            first = self.period.first - timedelta(days=self.period.first.weekday())
            days = [first + timedelta(days=7 * week) for week in range((self.period.last - first).days // 7 + 1)]
        else:
            bounds = self.period.bounds
            hours = int((bounds[-1] - bounds[0]).total_seconds() // 3600)
            starts = [bounds[0] + timedelta(hours=hour) for hour in range(hours)]
            every = 6 if len(self.period.days) == 1 else 12
            return [_hour(start, start.astimezone(zone), every) for start in starts]
        of_week = _("week of %(day)s") if self.grain == By.WEEK else "%(day)s"
        return [Point(start_of(d, zone), of_week % {"day": date_format(d)}, short_day(d), d) for d in days]

    @property
    def parameters(self) -> Mapping[str, str]:
        """Of the address that asks the same."""
        given = {name: str(value) for name, value in self.filters.given.items() if name not in self.fixed}
        if given.get("language") == "":
            given["language"] = UNKNOWN_LANGUAGE
        return {**self._parameters_of_days, **given, **self.also}

    @property
    def _parameters_of_days(self) -> Mapping[str, str]:
        if self.preset:
            return {"range": self.preset}
        return {"from": self.period.first.isoformat(), "to": self.period.last.isoformat()}

    @property
    def query(self) -> str:
        return self.query_with()

    def query_with(self, **changes: str | None) -> str:
        """The same, changed; None leaves out."""
        parameters = {**self.parameters, **changes}
        return urlencode({name: value for name, value in parameters.items() if value is not None})

    @property
    def query_elsewhere(self) -> str:
        """The same of a page that has the same filters, and of its own nothing else."""
        return self.query_with(**dict.fromkeys(self.also))

    @property
    def query_of_these_days(self) -> str:
        """Of a page that has no filters."""
        return urlencode(self._parameters_of_days)

    @property
    def query_of_all(self) -> str:
        """The same days without a filter."""
        return self.query_with(**dict.fromkeys(DIMENSIONS))

    def query_of_days(self, first: date, last: date) -> str:
        """The same of other days."""
        return self.query_with(range=None, **{"from": first.isoformat(), "to": last.isoformat()})

    @property
    def presets(self) -> Sequence[tuple[str, str | Promise, bool]]:
        """Address, label, and whether it is the one that is shown."""
        return [
            (self.query_with(range=name, **{"from": None, "to": None}), label, name == self.preset)
            for name, label in PRESETS.items()
        ]

    @property
    def selects(self) -> Sequence[tuple[str, str, str, Sequence[tuple[Choice, bool]]]]:
        """The filters as a form shows them: name, label, what stands for all, choices and whether each is chosen. What
        there is only one of needs no filter."""
        chosen = self.parameters
        return [
            (name, label, every, [(choice, choice.value == chosen.get(name)) for choice in self.choices[name]])
            for name, label, every in (
                ("persona", _("Persona"), _("All personas")),
                ("version", _("Version"), _("All versions")),
                ("model", _("Model"), _("All models")),
                ("language", _("Language"), _("All languages")),
                ("channel", _("Channel"), _("All channels")),
            )
            if name not in self.fixed and (len(self.choices[name]) > 1 or name in chosen)
        ]

    @property
    def name(self) -> str:
        """Of a file with what is asked for."""
        return f"{self.period.first.isoformat()}-{self.period.last.isoformat()}"

    @property
    def told(self) -> str:
        return days_told(self.period)

    @property
    def told_before(self) -> str:
        return days_told(self.before)


def read_asked(query: Mapping[str, Any], *, fixed: Filters | None = None) -> Asked:
    """What the address asks for. ``fixed`` is what the page itself is narrowed to. Raises ApplicationError ``invalid``
    (400) with a sentence for people."""
    fixed = fixed or Filters()
    choices = offered(fixed, persona=query.get("persona") or "")
    chosen = {name: _chosen(query, name, choices[name]) for name in DIMENSIONS if name not in fixed.given}
    filters = Filters(**{**chosen, **fixed.given})
    period, preset = _read_period(query)
    return Asked(period, filters, preset, choices, frozenset(fixed.given))


def read_days(query: Mapping[str, Any], *, also: Mapping[str, str] | None = None, hourly: bool = True) -> Asked:
    """The same of a page that knows days alone, no filters."""
    period, preset = _read_period(query)
    nothing: dict[str, Sequence[Choice]] = dict.fromkeys(DIMENSIONS, ())
    return Asked(period, Filters(), preset, nothing, also=also or {}, hourly=hourly)


def _read_period(query: Mapping[str, Any]) -> tuple[Period, str]:
    """The days, and the preset that names them."""
    if query.get("from") or query.get("to"):
        return _days(query), ""
    preset = query.get("range", "") or USUAL
    return preset_period(preset, timezone.localdate(timezone=reporting_zone())), preset


def preset_period(name: str, today: date) -> Period:
    """The days that a preset names. Raises ApplicationError ``invalid``."""
    zone = reporting_zone()
    match name:
        case "month":
            return Period(today.replace(day=1), today, zone)
        case "last-month":
            last = today.replace(day=1) - timedelta(days=1)
            return Period(last.replace(day=1), last, zone)
        case _ if name in PRESETS:
            return last_days(int(name), today, zone)
    raise _refused(_("There is no range of that name. Choose one of those above the figures."))


def _days(query: Mapping[str, Any]) -> Period:
    zone = reporting_zone()
    today = timezone.localdate(timezone=zone)
    last = _day(query, "to") or today
    first = _day(query, "from") or last - timedelta(days=int(USUAL) - 1)
    if first > last:
        raise _refused(_("The first day lies behind the last one."))
    if first > today:
        raise _refused(_("These days have not come yet."))
    last = min(last, today)
    if (last - first).days >= MOST_DAYS:
        raise _refused(_("At most %(most)d days at once.") % {"most": MOST_DAYS})
    return Period(first, last, zone)


def _day(query: Mapping[str, Any], name: str) -> date | None:
    text = query.get(name) or ""
    if not text:
        return None
    try:
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or not EARLIEST <= day <= date(2199, 12, 31):
        raise _refused(_("A day is written like 2026-03-31."))
    return day


def _chosen(query: Mapping[str, Any], name: str, choices: Sequence[Choice]) -> Any:
    """The value that figures are narrowed to; None for all."""
    text = query.get(name) or ""
    if not text:
        return None
    if text not in {choice.value for choice in choices}:
        raise _refused(_("One of the filters names something that no figures are known of."))
    if name in ("persona", "version"):
        return UUID(text)
    return "" if name == "language" and text == UNKNOWN_LANGUAGE else text


def _refused(detail: str) -> ApplicationError:
    return ApplicationError("invalid", detail, status=400)


def offered(within: Filters, *, persona: str = "") -> dict[str, list[Choice]]:
    """For each filter what there are figures of, by name. Versions only of one persona: of all they would be many."""
    rows = (
        Usage.objects.filter(grain=Grain.MONTH, cuboid=EVERYTHING, **within.given).values_list(*DIMENSIONS).distinct()
    )
    known: dict[str, set[Any]] = {name: set() for name in DIMENSIONS}
    for row in rows:
        for name, value in zip(DIMENSIONS, row, strict=True):
            if name != "version" or str(row[0]) == str(within.persona or persona):
                known[name].add(value)
    names = {
        "persona": persona_names(known["persona"]),
        "version": version_names(known["version"] - {None}),
        "model": {model: model for model in known["model"] if model},
        "language": {code or UNKNOWN_LANGUAGE: language_label(code) for code in known["language"]},
        "channel": {channel: channel_label(channel) for channel in known["channel"]},
    }
    return {
        name: sorted((Choice(str(value), label) for value, label in of.items()), key=lambda c: c.label.casefold())
        for name, of in names.items()
    }


def persona_names(personas: set[UUID]) -> dict[UUID, str]:
    """What people call them; those that are gone by the beginning of their id."""
    found = Persona.objects.filter(pk__in=personas).values_list("pk", "slug", "published__name")
    names = {pk: name or slug for pk, slug, name in found}
    return {pk: names.get(pk) or _gone(pk) for pk in personas}


def version_names(versions: set[UUID]) -> dict[UUID, str]:
    found = PersonaVersion.objects.filter(pk__in=versions).values_list("pk", "number", "name")
    names = {pk: _("Version %(number)d") % {"number": number} + f" · {name}" for pk, number, name in found}
    return {pk: names.get(pk) or _gone(pk) for pk in versions}


def _gone(pk: UUID) -> str:
    return _("removed (%(id)s)") % {"id": str(pk)[:8]}


def language_label(code: str) -> str:
    return language_name(code) if code else _("not recognised")


def channel_label(channel: str) -> str:
    return str(dict(Conversation.Channel.choices).get(channel, channel))


def days_told(period: Period) -> str:
    """The days in words."""
    first, last = date_format(period.first), date_format(period.last)
    return first if first == last else f"{first} – {last}"


def short_day(day: date) -> str:
    """As it stands below an axis."""
    # Translators: a day and its month, short, as Django's date filter writes them.
    return date_format(day, _("j M"))


def _hour(start: datetime, local: datetime, every: int) -> Point:
    at = date_format(local, "H:i")
    tick = "" if local.hour % every else at
    return Point(start, f"{date_format(local.date())}, {at}", tick, local.date())
