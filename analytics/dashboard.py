"""The figures of ``GET analytics/dashboard``: rollups in the shape that one person's figures have."""

from collections.abc import Mapping
from uuid import UUID

from django.db import connection

from analytics.facts import SAID
from analytics.figures import Endings, Figures, FirstToken, Sources, Thumbs, Tokens
from analytics.histograms import percentile
from analytics.models import Grain
from analytics.period import Period, start_of
from analytics.selectors import DayFigures, Report, by_persona
from analytics.suppression import Suppressed, shown_groups
from analytics.totals import By, Totals, people_by, read_groups, read_totals

_ACTIVE = f"""
    SELECT persona, count(DISTINCT person) FROM ({SAID}) said WHERE role = 'user'
    GROUP BY GROUPING SETS ((), (persona))
"""  # noqa: S608  texts of ours, no input


def dashboard(period: Period) -> Report:
    """Of days of the reporting zone. A persona's figures are None where they may be of few people."""
    active = _active(period)
    days, people = read_groups(period, By.DAY), people_by(period, Grain.DAY)
    starts = {day: start_of(day, period.zone) for day in period.days}
    return Report(
        period=period,
        totals=figures_of(read_totals(period), active.get(None, 0)),
        days=[
            DayFigures(day, figures_of(days.get(start, Totals()), people.get(start, (0, 0))[0]))
            for day, start in starts.items()
        ],
        personas=by_persona(
            {
                persona: None if isinstance(totals, Suppressed) else figures_of(totals, active.get(persona, 0))
                for persona, totals in shown_groups(period, By.PERSONA).items()
            }
        ),
    )


def _active(period: Period) -> Mapping[UUID | None, int]:
    """Who asked in any of the days, each once; by persona, and of all under None. Counted from the rows: people of
    several days cannot be added up."""
    with connection.cursor() as cursor:
        cursor.execute(_ACTIVE, {"start": period.start, "end": period.end})
        return dict(cursor.fetchall())


def figures_of(totals: Totals, active_people: int) -> Figures:
    times = totals.histograms["first_token"]
    return Figures(
        conversations=totals.conversations,
        questions=totals.questions,
        active_people=active_people,
        replies=Endings(totals.completed, totals.stopped, totals.interrupted, totals.failed, totals.live),
        tokens=Tokens(
            totals.prompt_tokens, totals.completion_tokens, totals.prompt_estimated + totals.completion_estimated
        ),
        feedback=Thumbs(totals.helpful, totals.not_helpful),
        sources=Sources(totals.from_model, totals.from_faq, totals.from_faq_offline, totals.unknown),
        first_token=FirstToken(sum(times.values()), _rounded(times, 0.5), _rounded(times, 0.95)),
    )


def _rounded(times: Mapping[int, int], share: float) -> float | None:
    seconds = percentile(times, share)
    return None if seconds is None else round(seconds, 3)
