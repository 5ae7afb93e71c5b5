"""The same figures by persona, version, model, language or channel; each line leads to the page narrowed to it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _

from analytics.metrics import METRICS
from analytics.pages.asking import (
    UNKNOWN_LANGUAGE,
    Asked,
    channel_label,
    language_label,
    persona_names,
    version_names,
)
from analytics.pages.figures import told
from analytics.pages.tables import Cell, Row, Table
from analytics.suppression import Suppressed, shown_groups
from analytics.totals import By, Totals
from personas.models import Persona

#: So many lines; what is left is added up in none, as each names something.
MOST_ROWS = 12
#: Figures of a line, behind the bar of what is compared.
OF_TALK = ("first_token_p95", "unknown_rate", "satisfaction")
OF_MODELS = ("first_token_p95", "failed_rate", "satisfaction", "cost")


def breakdown(asked: Asked, by: By) -> Table:
    """The parts of what is asked for, the largest first."""
    groups = shown_groups(asked.period, by, asked.filters)
    if by == By.MODEL:
        groups = {model: of for model, of in groups.items() if model}  # what no model wrote
        return _table(asked, by, groups, "replies", lambda totals: totals.replies, OF_MODELS)
    return _table(asked, by, groups, "questions", lambda totals: totals.questions, OF_TALK)


def _table(
    asked: Asked,
    by: By,
    groups: Mapping[Any, Totals | Suppressed],
    compared: str,
    size: Callable[[Totals], int],
    names: Sequence[str],
) -> Table:
    sizes = {key: -1 if isinstance(of, Suppressed) else size(of) for key, of in groups.items()}
    ordered = sorted((key for key in groups if sizes[key]), key=lambda key: (-sizes[key], str(key)))
    whole = sum(number for number in sizes.values() if number > 0)
    labels, slugs = _labels(by, ordered), _slugs(by, ordered)
    rows = []
    for key in ordered[:MOST_ROWS]:
        of = groups[key]
        link = f"?{asked.query_with(**_narrowed(by, key))}" if by.value not in asked.fixed and key is not None else ""
        if key in slugs:
            link = f"{reverse('analytics:persona', args=[slugs[key]])}?{asked.query_elsewhere}"
        if isinstance(of, Suppressed):
            rows.append(Row(labels[key], [Cell(str(of), part=0), *(Cell("") for _name in names)], link=""))
            continue
        values = {name: METRICS[name].of(of) for name in names}
        first = Cell(told(METRICS[compared], size(of)), size(of), part=size(of) / whole if whole else 0)
        rows.append(
            Row(labels[key], [first, *(Cell(told(METRICS[n], v), _raw(v)) for n, v in values.items())], link=link)
        )
    return Table(
        key=f"by-{by.value}",
        title=_TITLES[by](),
        head=_HEADS[by](),
        columns=[str(METRICS[name].label) for name in (compared, *names)],
        rows=rows,
        empty=_("Nothing in these days."),
        note=_("Only the largest are shown.") if len(ordered) > MOST_ROWS else "",
    )


def _slugs(by: By, keys: Sequence[Any]) -> Mapping[Any, str]:
    """Of the personas that are there still: each has a page of its own."""
    return dict(Persona.objects.filter(pk__in=keys).values_list("pk", "slug")) if by == By.PERSONA else {}


def _raw(value: Any) -> Any:
    return "" if value is None else value


def _narrowed(by: By, key: Any) -> dict[str, str | None]:
    """What the address of the narrowed page has. Another persona has other versions."""
    if by == By.LANGUAGE:
        return {"language": key or UNKNOWN_LANGUAGE}
    return {by.value: str(key), "version": None} if by == By.PERSONA else {by.value: str(key)}


def _labels(by: By, keys: Sequence[Any]) -> Mapping[Any, str]:
    known: set[UUID] = {key for key in keys if key is not None} if by in (By.PERSONA, By.VERSION) else set()
    match by:
        case By.PERSONA:
            return persona_names(known)
        case By.VERSION:
            return {None: _("not recorded"), **version_names(known)}
        case By.LANGUAGE:
            return {key: language_label(key) for key in keys}
        case By.CHANNEL:
            return {key: channel_label(key) for key in keys}
    return {key: str(key) for key in keys}


_TITLES: Mapping[By, Callable[[], str]] = {
    By.PERSONA: lambda: _("Personas"),
    By.VERSION: lambda: _("Versions"),
    By.MODEL: lambda: _("Models"),
    By.LANGUAGE: lambda: _("Languages"),
    By.CHANNEL: lambda: _("Channels"),
}
_HEADS: Mapping[By, Callable[[], str]] = {
    By.PERSONA: lambda: _("Persona"),
    By.VERSION: lambda: _("Version"),
    By.MODEL: lambda: _("Model"),
    By.LANGUAGE: lambda: _("Language"),
    By.CHANNEL: lambda: _("Channel"),
}
