"""The report of a week: made once it is over and all of it is added up, kept, and mailed to ``REPORT_MAIL``."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.utils import formats, timezone, translation
from django.utils.translation import gettext as _

from accounts.mail import Letter, letter_message
from analytics.metrics import METRICS, Metric, Unit, Value, values
from analytics.models import Grain, Report, RollupState
from analytics.period import Period, start_of
from analytics.rollups import reporting_zone, span_of
from analytics.totals import before, read_totals

#: Figures of the mail, in its order. The report keeps all there are.
MAILED = (
    *("active_weekly", "new_people", "conversations", "questions", "replies", "first_token_p95", "completed_rate"),
    *("failed_rate", "unknown_rate", "direct_rate", "satisfaction", "handed_over", "gap_questions", "blocked"),
    *("appeals", "copies_asked", "erasures_asked", "cost"),
)


def last_week(now: datetime) -> Period:
    """The last whole week of the organisation's days, from Monday."""
    zone = reporting_zone()
    after = span_of(Grain.WEEK, now.astimezone(zone).date()).first
    return Period(after - timedelta(days=7), after - timedelta(days=1), zone)


def make_report(period: Period) -> Report | None:
    """The report of that week, made where there is none yet; its numbers do not change any more. None until the rollups
    are past its end."""
    start = start_of(period.first, period.zone)
    if found := Report.objects.filter(grain=Grain.WEEK, start=start).first():
        return found
    counted_until = RollupState.objects.values_list("counted_until", flat=True).first()
    if counted_until is None or counted_until < period.bounds[-1]:
        return None
    now, then = values(read_totals(period)), values(read_totals(before(period)))
    figures = {name: [_kept(now[name]), _kept(then[name])] for name in METRICS}
    report, _made = Report.objects.get_or_create(
        grain=Grain.WEEK, start=start, defaults={"time_zone": period.zone.key, "figures": figures}
    )
    return report


def _kept(value: Value) -> int | float | None:
    return float(value) if isinstance(value, Decimal) else value


def mail_report(report: Report) -> bool:
    """Mail it, once for all runs; whether it was mailed now. Raises OSError where the mail server refuses: it is tried
    again by the next run."""
    if not settings.REPORT_MAIL:
        return False
    with transaction.atomic():
        mine = Report.objects.select_for_update(skip_locked=True).filter(pk=report.pk, mailed_at=None).first()
        if mine is None:
            return False
        mine.mailed_at = timezone.now()
        mine.save(update_fields=["mailed_at"])
        with translation.override(settings.LANGUAGE_CODE):
            letter_message(write_letter(mine), to=settings.REPORT_MAIL).send()
    return True


def write_letter(report: Report) -> Letter:
    """The report's mail in the active language."""
    zone = reporting_zone()
    first = report.start.astimezone(zone).date()
    days = {"first": formats.date_format(first), "last": formats.date_format(first + timedelta(days=6))}
    return Letter(
        subject=_("The week from %(first)s to %(last)s") % days,
        paragraphs=[_("What was asked and how well it was answered, beside the week before.")],
        head=(_("Figure"), _("This week"), _("The week before")),
        rows=figure_rows(report, MAILED),
    )


def figure_rows(report: Report, names: Iterable[str]) -> Sequence[tuple[str, ...]]:
    """Name, value and that of the week before, as people read them. What was added since it was made is not in it."""
    return [
        (str(METRICS[name].label), *(shown(METRICS[name], value) for value in report.figures[name]))
        for name in names
        if name in report.figures
    ]


def shown(metric: Metric, value: Value) -> str:
    """A figure as people read it, in the active language."""
    if value is None:
        return "–"
    if metric.unit == Unit.SHARE:
        return f"{formats.number_format(float(value) * 100, 1)} %"
    if metric.unit == Unit.SECONDS:
        return f"{formats.number_format(value, 2)} s"
    if metric.unit == Unit.MONEY:
        return f"{formats.number_format(value, 2)} {settings.PRICE_CURRENCY}"
    return formats.number_format(value, 0 if isinstance(value, int) else 1, use_l10n=True, force_grouping=True)
