"""Figures of fewer than five persons are not shown where a filter could single somebody out.

The rule, and what it does not cover, is told in docs/analytics.md. Whoever shows figures that are narrowed or grouped
reads them here and not in totals.py.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeVar
from uuid import UUID

from django.utils.translation import gettext as _

from analytics.metrics import METRICS, Value
from analytics.models import Cohort
from analytics.period import Period
from analytics.persons import persons_by, persons_by_model
from analytics.totals import (
    EVERYTHING,
    By,
    Filters,
    Totals,
    people_by,
    read_groups,
    read_keys,
    read_tokens_by_model,
    read_totals,
)
from personas.models import PersonaVersion

FEWEST_PEOPLE: Final = 5
#: An hour of the week is added up of so many days at least before it is nobody's hour.
WEEKLY_DAYS: Final = 28


class Suppressed(Enum):
    """Stands where a figure is not shown. Not ``None``, which says that there is none."""

    SUPPRESSED = "suppressed"

    def __str__(self) -> str:
        """As people read it, in the active language."""
        return _("under %(number)d people") % {"number": FEWEST_PEOPLE}


SUPPRESSED: Final = Suppressed.SUPPRESSED
ShownValue = Value | Suppressed
ShownNumber = int | Suppressed
Key = TypeVar("Key", bound=Hashable)
Other = TypeVar("Other", bound=Hashable)


def hidden_keys(persons: Mapping[Key, int]) -> frozenset[Key]:
    """Of the cells of one breakdown, those that are not shown: all of fewer than FEWEST_PEOPLE persons, and with them
    the smallest of the others, so that the total less what is shown is always a figure of several cells and of
    FEWEST_PEOPLE persons or more. Pure."""
    few = {key for key, number in persons.items() if number < FEWEST_PEOPLE}
    others = sorted((key for key in persons if key not in few), key=lambda key: (persons[key], str(key)))
    return frozenset(few | set(others[:1]) if few else few)


def hidden_cells(persons: Mapping[tuple[Key, Other], int]) -> frozenset[tuple[Key, Other]]:
    """Of the cells of a breakdown by two things at once, those that are not shown: of fewer than FEWEST_PEOPLE persons,
    and as many others that along either way what is hidden is of several cells, one of FEWEST_PEOPLE persons or more
    among them, or is all there is. Pure."""
    hidden = {cell for cell, number in persons.items() if number < FEWEST_PEOPLE}
    lines: dict[tuple[int, Hashable], list[tuple[Key, Other]]] = defaultdict(list)
    for cell in sorted(persons, key=lambda cell: (persons[cell], *map(str, cell))):
        for way, of in enumerate(cell):
            lines[way, of].append(cell)
    while True:
        more = set()
        for cells in lines.values():
            here = [cell for cell in cells if cell in hidden]
            if here and (len(here) < 2 or max(persons[cell] for cell in here) < FEWEST_PEOPLE):
                more.update([cell for cell in cells if cell not in hidden][:1])
        if not more:
            return frozenset(hidden)
        hidden |= more


def is_shown(period: Period, filters: Filters) -> bool:
    """Whether figures of ``period`` narrowed to ``filters`` are. They are where their cell is shown in each breakdown
    that leads to it: of all, and of all that fewer of the same filters give. Of the whole organisation, always."""
    return _Judge(period).shows(filters)


def shown_totals(period: Period, filters: Filters = EVERYTHING) -> Totals | Suppressed:
    """As ``read_totals``. Its figures of people are those of ``shown_values``."""
    return read_totals(period, filters) if is_shown(period, filters) else SUPPRESSED


def shown_groups(period: Period, by: By, filters: Filters = EVERYTHING) -> Mapping[Any, Totals | Suppressed]:
    """As ``read_groups``. A group in which nothing was counted is missing, shown or not."""
    groups = read_groups(period, by, filters)
    if not _singles_out(period, by, filters):
        return groups
    if not is_shown(period, filters):
        return dict.fromkeys(groups, SUPPRESSED)
    hidden = _hidden(period, by, filters, groups)
    return {key: SUPPRESSED if key in hidden else totals for key, totals in groups.items()}


def shown_tokens_by_model(period: Period, grain: By) -> Mapping[str, Mapping[datetime, ShownNumber]]:
    """As ``read_tokens_by_model``, by model: of the whole organisation. Two queries."""
    tokens = read_tokens_by_model(period, grain)
    persons = persons_by_model(period, grain)
    hidden = hidden_cells({cell: persons.get(cell, 0) for cell in tokens})
    found: dict[str, dict[datetime, ShownNumber]] = defaultdict(dict)
    for (model, start), number in tokens.items():
        found[model][start] = SUPPRESSED if (model, start) in hidden else number
    return found


def shown_people_by(
    period: Period, grain: str, filters: Filters = EVERYTHING
) -> Mapping[datetime, tuple[ShownNumber, ShownNumber]]:
    """As ``people_by``: how many were active, and how many of them new."""
    people = people_by(period, grain, filters)
    if not filters.given:
        return people
    if not is_shown(period, filters):
        return dict.fromkeys(people, (SUPPRESSED, SUPPRESSED))
    hidden = hidden_keys({start: active for start, (active, _new) in people.items()})
    untold = hidden | hidden_keys({start: _fewest(new, active - new) for start, (active, new) in people.items()})
    return {
        start: (SUPPRESSED if start in hidden else active, SUPPRESSED if start in untold else new)
        for start, (active, new) in people.items()
    }


def shown_cohorts(grain: str, since: datetime, until: datetime) -> Mapping[datetime, Mapping[datetime, ShownNumber]]:
    """How many of those who began in a week or month asked something in it and in each later one, up to ``until``:
    ``{began: {start: people}}``, of the cohorts that began from ``since`` on.

    Nothing is shown of a cohort of few, not even that nobody came back. The others are judged by ``start``: as it is
    known how many were active then, a single hidden number would be the rest."""
    rows = Cohort.objects.filter(grain=grain, start__gte=since, start__lt=until).order_by("began", "start")
    people = {(row.began, row.start): row.people for row in rows}
    starts = sorted({start for _began, start in people})
    hidden = {
        cell
        for start in starts
        for cell in hidden_keys({(began, of): number for (began, of), number in people.items() if of == start})
    }
    hidden |= {
        (began, start) for began, _first in people for start in starts if people.get((began, began), 0) < FEWEST_PEOPLE
    }
    return {
        began: {
            start: SUPPRESSED if (began, start) in hidden else people.get((began, start), 0)
            for start in starts
            if start >= began
        }
        for began in sorted({began for began, _start in people if began >= since})
    }


def shown_values(
    totals: Totals | Suppressed, filters: Filters = EVERYTHING, names: Iterable[str] | None = None
) -> dict[str, ShownValue]:
    """As ``metrics.values`` of what is shown. Narrowed figures that count fewer than FEWEST_PEOPLE people are not,
    nor those from which these could be told."""
    wanted = list(METRICS if names is None else names)
    if isinstance(totals, Suppressed):
        return dict.fromkeys(wanted, SUPPRESSED)
    few = _few_people(totals) if filters.given else frozenset()
    return {name: SUPPRESSED if name in few else METRICS[name].of(totals) for name in wanted}


def shown_uses(totals: Totals) -> Totals | Suppressed:
    """The sums of one FAQ (faq_figures.py), where it was not used or by so many replies that five people may have
    asked: who they were is not counted, but one use is one person's."""
    return SUPPRESSED if 0 < totals.cited < FEWEST_PEOPLE else totals


def _few_people(totals: Totals) -> frozenset[str]:
    if (persons := totals.persons) is None:
        return frozenset()
    numbers = {
        ("active_daily",): (persons.daily,),
        ("new_people", "returning_daily"): (persons.new, persons.daily - persons.new),
        ("active_weekly",): (persons.weekly,),
        ("active_monthly",): (persons.monthly,),
    }
    return frozenset(name for names, counted in numbers.items() if _fewest(*counted) < FEWEST_PEOPLE for name in names)


def _fewest(*numbers: int) -> int:
    """The smallest of them that is not zero; where all are, there is nobody to single out."""
    return min((number for number in numbers if number), default=FEWEST_PEOPLE)


def _singles_out(period: Period, by: By, filters: Filters) -> bool:
    """Whether a breakdown has cells that may be one person's: not the organisation's days, weeks and months."""
    if filters.given or by in (By.HOUR, By.PERSONA, By.VERSION, By.MODEL, By.LANGUAGE, By.CHANNEL):
        return True
    return by == By.HOUR_OF_WEEK and len(period.days) < WEEKLY_DAYS


def _hidden(period: Period, by: By, filters: Filters, groups: Iterable[Any]) -> frozenset[Any]:
    """Of ``groups``, also those in which something was counted and nobody asked."""
    known = persons_by(period, by, filters)
    persons = {key: known.get(key, 0) for key in groups}
    if by != By.VERSION or filters.persona is not None:
        return hidden_keys(persons)
    return _hidden_versions(period, filters, persons)


def _hidden_versions(period: Period, filters: Filters, persons: Mapping[UUID | None, int]) -> frozenset[UUID | None]:
    """A persona's figures are those of its versions: each persona's are judged by themselves, and none of a persona
    that is not shown is. The only version of a persona is shown as the persona is."""
    of = dict(PersonaVersion.objects.filter(pk__in=[key for key in persons if key]).values_list("pk", "persona"))
    hidden = _hidden(period, By.PERSONA, filters, read_keys(period, By.PERSONA, filters))
    families: dict[UUID | None, dict[UUID | None, int]] = defaultdict(dict)
    for version, number in persons.items():
        families[of.get(version) if version else None][version] = number
    return frozenset().union(
        *(
            family if persona in hidden else hidden_keys(family)
            for persona, family in families.items()
            if persona in hidden or len(family) > 1
        )
    )


class _Judge:
    """Which narrowed readings of one period are shown; each breakdown is read once."""

    def __init__(self, period: Period) -> None:
        self._period = period
        self._known: dict[Filters, bool] = {EVERYTHING: True}

    def shows(self, filters: Filters) -> bool:
        if filters not in self._known:
            self._known[filters] = all(self._shows_cell(name, key, filters) for name, key in filters.given.items())
        return self._known[filters]

    def _shows_cell(self, name: str, key: Any, filters: Filters) -> bool:
        """Whether ``filters`` without ``name`` are shown, and in their breakdown by it the cell ``key``. A cell in
        which nothing was counted is."""
        rest = Filters(**{other: value for other, value in filters.given.items() if other != name})
        if not self.shows(rest):
            return False
        known = persons_by(self._period, By(name), rest)
        if name != By.VERSION and _is_surely_shown(key, known):
            return True
        keys = read_keys(self._period, By(name), rest)
        return key not in _hidden(self._period, By(name), rest, keys)


def _is_surely_shown(key: Hashable, known: Mapping[Any, int]) -> bool:
    """Whether a cell is shown whatever else may be hidden: it has enough persons, and another of fewer goes first."""
    number = known.get(key, 0)
    return number >= FEWEST_PEOPLE and any(
        other >= FEWEST_PEOPLE and (other, str(each)) < (number, str(key)) for each, other in known.items()
    )
