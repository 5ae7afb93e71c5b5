"""What the page of the quality review shows of its figures, and what can be fetched of it as CSV."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.utils import formats, timezone
from django.utils.translation import gettext as _

from analytics.metrics import METRICS
from analytics.pages.asking import Asked, persona_names, read_asked, version_names
from analytics.pages.series import csv_url
from analytics.pages.tables import Cell, Row, Table
from analytics.quality.figures import FEW, Accuracy, Agreement, Quality, read_groups, shown_quality
from analytics.quality.judging import failures
from analytics.quality.rubric import CORRECT, RUBRIC
from analytics.reports import shown
from analytics.suppression import SUPPRESSED
from analytics.totals import Filters

SHARE, NUMBER = METRICS["failed_rate"], METRICS["replies"]
#: What replies under review are not told by.
NOT_TOLD_APART = frozenset({"model", "language", "channel"})


@dataclass(frozen=True, slots=True)
class Results:
    """``quality`` is None where figures of what is asked for may be of too few people."""

    asked: Asked
    quality: Quality | None
    figures: Sequence[tuple[str, str, str]]  # name, value, what is said below it
    tables: Sequence[Table]
    failures: Sequence[tuple[str, int]] = ()  # today's, of the model that gives opinions

    @property
    def is_few(self) -> bool:
        return self.quality is not None and self.quality.accuracy.is_few and self.quality.accuracy.judged > 0


def results(query: Mapping[str, Any]) -> Results:
    asked = read_asked(query)
    asked = replace(asked, fixed=asked.fixed | NOT_TOLD_APART)
    filters = Filters(persona=asked.filters.persona, version=asked.filters.version)
    found = shown_quality(asked.period, filters)
    if found is None:
        return Results(asked, None, [], [])
    tables = [_strata(asked, found), _criteria(asked, found)]
    if not filters.given:
        tables += _groups(asked)
    return Results(asked, found, _figures(found), tables, failures(timezone.now()))


def interval(of: Accuracy) -> str:
    """ "81.2 % to 93.4 %"; "" where nothing was judged."""
    if of.low is None or of.high is None:
        return ""
    return _("%(low)s to %(high)s") % {"low": shown(SHARE, of.low), "high": shown(SHARE, of.high)}


def _figures(found: Quality) -> list[tuple[str, str, str]]:
    accuracy, agreement = found.accuracy, found.criteria[CORRECT]
    sure = interval(accuracy)
    return [
        (
            _("Accuracy"),
            shown(SHARE, accuracy.share),
            _("with 95 percent certainty: %(interval)s") % {"interval": sure} if sure else "",
        ),
        (_("Correct in part"), shown(SHARE, accuracy.partly), _("counts as not correct")),
        (_("Judged"), shown(NUMBER, accuracy.judged), _not_told(accuracy)),
        (_("Reviewers agree"), shown(SHARE, agreement.share), _pairs(agreement)),
        (_("Cohen's kappa"), coefficient(agreement.kappa), _("agreement beyond chance, of the first two")),
        (_("Krippendorff's alpha"), coefficient(agreement.alpha), _("the same, of all who judged")),
    ]


def coefficient(value: float | None) -> str:
    return "–" if value is None else formats.number_format(value, 2)


def _pairs(agreement: Agreement) -> str:
    return _("on correctness, of %(number)s pairs") % {"number": shown(NUMBER, agreement.pairs)}


def _not_told(of: Accuracy) -> str:
    numbers = {"unclear": of.unclear, "disputed": of.disputed, "open": of.open}
    return _("beside: %(open)d open, %(disputed)d disputed, %(unclear)d that nobody could tell") % numbers


def _strata(asked: Asked, found: Quality) -> Table:
    rows = [Row(str(stratum.label), _cells(of)) for stratum, of in found.strata.items()]
    note = _(
        "These were chosen for being doubtful: they are no part of the accuracy above, and say nothing of all replies."
    )
    title = _("Doubtful replies, by themselves")
    return Table(
        "quality-strata", title, _("Drawn"), _columns(), rows, note=note, csv_url=csv_url(asked, "quality-strata")
    )


def _criteria(asked: Asked, found: Quality) -> Table:
    """People with each other; in the last row, marked as such, a model with them."""
    rows = [Row(str(RUBRIC[name].label), _agreement(of)) for name, of in found.criteria.items()]
    if found.model.pairs:
        rows.append(Row(_("Model's opinion against people's verdict (correct)"), _agreement(found.model)))
    columns = [_("pairs"), _("the same"), _("kappa"), _("alpha")]
    note = _("A model's opinion counts neither in the accuracy nor in how far people agree.")
    return Table(
        "quality-agreement", _("How far reviewers agree"), _("Criterion"), columns, rows, note=note,
        csv_url=csv_url(asked, "quality-agreement"),
    )  # fmt: skip


def _groups(asked: Asked) -> list[Table]:
    groups = read_groups(asked.period)
    personas = persona_names({persona for persona, _version in groups})
    versions = version_names({version for _persona, version in groups if version})
    by_persona = [_group(asked, personas[key], of, persona=key)
                  for (key, version), of in groups.items() if version is None]  # fmt: skip
    by_version = [_group(asked, f"{personas[key]} · {versions[version]}", of, persona=key, version=version)
                  for (key, version), of in groups.items() if version is not None]  # fmt: skip
    return [
        _grouped(asked, "quality-personas", _("By persona"), _("Persona"), by_persona),
        _grouped(asked, "quality-versions", _("By version"), _("Version"), by_version),
    ]


def _group(asked: Asked, name: str, of: Accuracy | None, **narrowed: UUID) -> Row:
    if of is None:
        return Row(name, [Cell(str(SUPPRESSED)) for _column in _columns()])
    query = asked.query_with(**{key: str(value) for key, value in narrowed.items()})
    return Row(name, _cells(of), f"?{query}")


def _grouped(asked: Asked, key: str, title: str, head: str, rows: Iterable[Row]) -> Table:
    ordered = sorted(rows, key=lambda row: row.name.casefold())
    empty = _("Nothing in these days.")
    return Table(key, title, head, _columns(), ordered, empty, csv_url=csv_url(asked, key))


def _columns() -> list[str]:
    return [_("judged"), _("correct"), _("95-percent interval"), _("sure?")]


def _cells(of: Accuracy) -> list[Cell]:
    few = _("too few: under %(number)d") % {"number": FEW} if of.is_few else _("yes")
    return [
        Cell(shown(NUMBER, of.judged), of.judged),
        Cell(shown(SHARE, of.share), of.share, part=of.share),
        Cell(interval(of) or "–"),
        Cell(few),
    ]


def _agreement(of: Agreement) -> list[Cell]:
    return [
        Cell(shown(NUMBER, of.pairs), of.pairs),
        Cell(shown(SHARE, of.share), of.share, part=of.share),
        Cell(coefficient(of.kappa), of.kappa),
        Cell(coefficient(of.alpha), of.alpha),
    ]
