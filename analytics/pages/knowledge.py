"""What the FAQs did: the most cited, those that did not help, the old and the unused ones, and what is missing."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _

from analytics.faq_figures import SETTLED_AFTER, STALE_AFTER, Sort
from analytics.metrics import METRICS, share
from analytics.models import FAQUsage
from analytics.pages.asking import Asked
from analytics.pages.tables import Cell, Row, Table
from analytics.reports import shown
from analytics.suppression import FEWEST_PEOPLE, SUPPRESSED
from faqs.models import FAQ, Gap

MOST_ROWS = 8
#: Of fewer thumbs, a share says little.
FEWEST_THUMBS = 5

Uses = Mapping[UUID, Mapping[str, Any]]


def knowledge_tables(asked: Asked) -> Sequence[Table]:
    """Of all conversations: FAQs are not counted by persona, model, language or channel. Six queries."""
    uses = _uses(asked)
    cited = sorted(uses, key=lambda faq: -uses[faq]["cited"])
    judged = [faq for faq in uses if uses[faq]["helpful"] + uses[faq]["not_helpful"] >= FEWEST_THUMBS]
    disliked = sorted((faq for faq in judged if uses[faq]["not_helpful"]), key=lambda faq: _helpfulness(uses[faq]) or 0)
    names = FAQ.objects.in_bulk({*cited[:MOST_ROWS], *disliked[:MOST_ROWS]})
    return [
        _used(asked, Sort.MOST_USED, "faqs-cited", _("Most cited FAQs"), cited, uses, names),
        _used(asked, Sort.LEAST_HELPFUL, "faqs-disliked", _("FAQs that helped least"), disliked, uses, names),
        _stale(asked, uses),
        _unused(asked),
        _gaps(),
    ]


def _uses(asked: Asked) -> Uses:
    bounds = asked.period.bounds
    rows = FAQUsage.objects.filter(start__gte=bounds[0], start__lt=bounds[-1]).values("faq")
    sums = {name: Sum(name) for name in ("cited", "direct", "helpful", "not_helpful")}
    summed: Iterable[Mapping[str, Any]] = rows.annotate(**sums)
    return {row["faq"]: row for row in summed if row["cited"]}


def _helpfulness(use: Mapping[str, Any]) -> float | None:
    return share(use["helpful"], use["helpful"] + use["not_helpful"])


def _used(
    asked: Asked, sort: Sort, key: str, title: str, faqs: Sequence[UUID], uses: Uses, names: Mapping[UUID, FAQ]
) -> Table:
    most = max((uses[faq]["cited"] for faq in faqs), default=1)
    rows = []
    for faq in faqs[:MOST_ROWS]:
        use, named = uses[faq], names.get(faq)
        helpful = _helpfulness(use)
        cells = [
            _cited(use, part=use["cited"] / most),
            _number(use["direct"]),
            Cell(shown(METRICS["satisfaction"], helpful), "" if helpful is None else helpful),
        ]
        if use["cited"] < FEWEST_PEOPLE:
            cells[1:] = [Cell("–", ""), Cell("–", "")]
        rows.append(Row(named.question if named else _("removed"), cells, _faq_link(asked, named)))
    columns = [_("cited"), _("given as it is"), _("satisfaction")]
    return Table(key, title, _("FAQ"), columns, rows, empty=_("None in these days."), more=_all_faqs(asked, sort))


def _stale(asked: Asked, uses: Uses) -> Table:
    old = _published().filter(pk__in=list(uses), updated_at__lt=timezone.now() - STALE_AFTER)
    found = sorted(old, key=lambda faq: -uses[faq.pk]["cited"])
    rows = [Row(f.question, [_cited(uses[f.pk]), _day(f.updated_at)], _faq_link(asked, f)) for f in found]
    note = _("Cited in these days, and not changed for %(days)d days.") % {"days": STALE_AFTER.days}
    title, empty = _("Old answers that are used"), _("No answer that is used is old.")
    return Table(
        "faqs-stale", title, _("FAQ"), [_("cited"), _("changed")], rows[:MOST_ROWS], empty=empty, note=note,
        more=_all_faqs(asked, Sort.STALE),
    )  # fmt: skip


def _unused(asked: Asked) -> Table:
    used = FAQUsage.objects.filter(faq=OuterRef("pk"), cited__gt=0)
    found = _published().filter(~Exists(used), published_at__lt=timezone.now() - SETTLED_AFTER).order_by("published_at")
    rows = [Row(faq.question, [_day(faq.published_at)], _faq_link(asked, faq)) for faq in found[:MOST_ROWS]]
    note = _("Published for %(days)d days and never cited, as far as is known.") % {"days": SETTLED_AFTER.days}
    title, empty = _("FAQs that are never used"), _("Every FAQ has been used.")
    return Table(
        "faqs-unused",
        title,
        _("FAQ"),
        [_("published")],
        rows,
        empty=empty,
        note=note,
        more=_all_faqs(asked, Sort.NEVER_USED),
    )


def _published() -> QuerySet[FAQ]:
    return FAQ.objects.filter(status=FAQ.Status.PUBLISHED).only("pk", "question", "updated_at", "published_at")


def _gaps() -> Table:
    found = list(Gap.objects.filter(status=Gap.Status.OPEN).defer("vector")[:MOST_ROWS])
    most = max((gap.count for gap in found), default=1)
    rows = [
        Row(
            gap.question,
            [_number(gap.count, part=gap.count / most), _day(gap.last_seen_at)],
            reverse("admin:faqs_gap_change", args=[gap.pk]),
        )
        for gap in found
    ]
    return Table(
        "gaps", _("Questions without a good answer"), _("Question"), [_("times asked"), _("last asked")], rows,
        empty=_("No question is open."), note=_("Open ones of any time, the most asked first."),
        more=(reverse("admin:faqs_gap_changelist"), _("All gaps")),
    )  # fmt: skip


def _number(number: int, *, part: float | None = None) -> Cell:
    return Cell(number_format(number, force_grouping=True), number, part)


def _cited(use: Mapping[str, Any], *, part: float | None = None) -> Cell:
    """Nothing of fewer uses than of so many people (suppression.shown_uses)."""
    if use["cited"] < FEWEST_PEOPLE:
        return Cell(str(SUPPRESSED), str(SUPPRESSED))
    return _number(use["cited"], part=part)


def _day(at: datetime | None) -> Cell:
    return Cell("–", "") if at is None else Cell(date_format(timezone.localtime(at)), at.date().isoformat())


def _faq_link(asked: Asked, faq: FAQ | None) -> str:
    return f"{reverse('analytics:faq', args=[faq.pk])}?{asked.query_of_these_days}" if faq else ""


def _all_faqs(asked: Asked, sort: Sort) -> tuple[str, str]:
    return f"{reverse('analytics:faqs')}?{asked.query_of_these_days}&sort={sort}", _("All of them")
