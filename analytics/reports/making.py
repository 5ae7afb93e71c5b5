"""Makes reports: each once, and what stands in it does not change any more."""

from collections.abc import Iterable
from datetime import datetime

from analytics.models import Report
from analytics.period import Period, start_of
from analytics.reports.content import read_content, read_figures
from analytics.reports.periods import is_added_up, lately_over
from personas.models import Persona


def stored_report(grain: str, period: Period, persona: Persona | None = None) -> Report | None:
    """The one that was made of it. One query."""
    start = start_of(period.first, period.zone)
    return Report.objects.filter(grain=grain, start=start, persona=persona.pk if persona else None).first()


def compute_report(grain: str, period: Period, persona: Persona | None = None) -> Report:
    """The report as it would be now, not stored."""
    return Report(
        grain=grain,
        start=start_of(period.first, period.zone),
        persona=persona.pk if persona else None,
        time_zone=period.zone.key,
        figures=read_figures(grain, period, persona),
        content=read_content(grain, period, persona),
    )


def make_report(grain: str, period: Period, persona: Persona | None = None) -> Report | None:
    """The report of that period, made where there is none yet. None until the rollups are past its end. Of two runs at
    once one makes it, and both have the same."""
    if found := stored_report(grain, period, persona):
        return found
    if not is_added_up(period):
        return None
    Report.objects.bulk_create([compute_report(grain, period, persona)], ignore_conflicts=True)
    return stored_report(grain, period, persona)


def make_due(grain: str, now: datetime, personas: Iterable[Persona] = ()) -> list[Report]:
    """The reports of the last periods that are over, made where they are not: of all, and of each of ``personas``.
    So a run makes up for those that were missed."""
    made = [
        make_report(grain, period, persona) for period in lately_over(grain, now) for persona in (None, *personas)
    ]  # fmt: skip
    return [report for report in made if report is not None]
