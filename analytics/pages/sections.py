"""The parts of the overview: for each group of figures what stands in it, beside the figures themselves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from analytics.charts import TONES, Chart, Kind, Series, Tone
from analytics.metrics import METRICS, Group
from analytics.models import Grain
from analytics.pages.asking import UNKNOWN_LANGUAGE, Asked
from analytics.pages.breakdowns import breakdown
from analytics.pages.figures import Figure, by_group, figures, known
from analytics.pages.knowledge import knowledge_tables
from analytics.pages.retention import Retention, retention
from analytics.pages.rhythm import Week, week_of
from analytics.pages.series import Groups, counted, csv_url, of_points, over_time
from analytics.pages.tables import Sheet, Table
from analytics.suppression import Suppressed, shown_groups, shown_people_by, shown_tokens_by_model, shown_totals
from analytics.totals import By

TITLES: Mapping[Group, str | Promise] = {
    Group.PEOPLE: gettext_lazy("People"),
    Group.TALK: gettext_lazy("Conversations"),
    Group.SPEED: gettext_lazy("Speed"),
    Group.ENDINGS: gettext_lazy("How replies ended"),
    Group.KNOWLEDGE: gettext_lazy("Knowledge"),
    Group.OPINION: gettext_lazy("What people think of it"),
    Group.COST: gettext_lazy("Tokens and cost"),
    Group.SAFETY: gettext_lazy("Safety"),
    Group.RIGHTS: gettext_lazy("Rights of people"),
}
#: What stands above all: the answer to "how are we doing?".
HEADLINES = ("active_daily", "questions", "first_token_p95", "completed_rate", "satisfaction", "cost")


@dataclass(frozen=True, slots=True)
class Section:
    """Figures that stand together, and what there is of them beside. ``links`` lead to lists: address and name."""

    key: str
    title: str | Promise
    figures: Sequence[Figure]
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    week: Week | None = None
    retention: Retention | None = None
    links: Sequence[tuple[str, str]] = ()
    note: str = ""

    @property
    def sheets(self) -> Iterable[Sheet]:
        beside: list[Sheet | None] = [*self.charts, *self.tables, self.week, self.retention]
        return [sheet for sheet in beside if sheet is not None]


@dataclass(frozen=True, slots=True)
class AllFigures:
    """Every figure as a sheet."""

    figures: Mapping[str, Figure]
    key: str = "figures"

    def sheet(self) -> Iterable[Sequence[Any]]:
        yield ["name", _("Figure"), _("Value"), _("Before"), _("Unit")]
        for name, figure in self.figures.items():
            values = [str(v) if isinstance(v, Suppressed) else v for v in (figure.value, figure.before)]
            yield [name, str(figure.metric.label), *values, figure.metric.unit.value]


class Overview:
    """All that the page shows of what is asked for. ``prices``: the viewer may see their list. ``hidden``: it is of too
    few people to be shown."""

    def __init__(self, asked: Asked, *, prices: bool) -> None:
        self.asked, self.prices = asked, prices
        now = shown_totals(asked.period, asked.filters)
        self.hidden = isinstance(now, Suppressed)
        self.figures = figures(now, shown_totals(asked.before, asked.filters), asked.filters)
        self.is_empty = not isinstance(now, Suppressed) and not (now.questions or now.replies or now.conversations)
        #: There are no figures of any day yet.
        self.is_new = self.is_empty and not asked.choices["persona"]
        self.csv_url = csv_url(asked, "figures")

    @property
    def headlines(self) -> Sequence[Figure]:
        return [self.figures[name] for name in HEADLINES]

    @cached_property
    def groups(self) -> Sequence[Group]:
        """Those of which there is anything to tell."""
        if self.hidden or self.is_new:
            return []
        return [group for group in Group if any(figure.value is not None for figure in self._figures_of[group])]

    @property
    def contents(self) -> Sequence[tuple[str, str | Promise]]:
        """Key and title of each section."""
        return [(group.value, TITLES[group]) for group in self.groups]

    @property
    def sections(self) -> Sequence[Section]:
        return [self.section(group) for group in self.groups]

    def section(self, group: Group) -> Section:
        return Section(group.value, TITLES[group], self._figures_of[group], **self._beside(group))

    @cached_property
    def _figures_of(self) -> Mapping[Group, Sequence[Figure]]:
        return by_group(self.figures)

    @cached_property
    def _over_time(self) -> Groups:
        return shown_groups(self.asked.period, self.asked.grain, self.asked.filters)

    def _beside(self, group: Group) -> dict[str, Any]:
        asked = self.asked
        match group:
            case Group.PEOPLE:
                return _people(asked)
            case Group.TALK:
                return _talk(asked, self._over_time)
            case Group.SPEED:
                return {"charts": [_first_token(asked, self._over_time), _whole(asked, self._over_time)]}
            case Group.ENDINGS:
                return {"charts": [_endings(asked, self._over_time), _trouble(asked, self._over_time)]}
            case Group.KNOWLEDGE:
                return _knowledge(asked, self._over_time)
            case Group.OPINION:
                charts = [_thumbs(asked, self._over_time), _satisfaction(asked, self._over_time)]
                return {"charts": charts, "links": _disliked(asked)}
            case Group.COST:
                return _cost(asked, self._over_time, prices=self.prices)
            case Group.SAFETY:
                return {"links": _moderated()}
            case Group.RIGHTS:
                return {}

    def sheets(self) -> dict[str, Sheet]:
        """What can be fetched as CSV, by its key."""
        parts: list[Sheet] = [AllFigures(self.figures)]
        for section in self.sections:
            parts.extend(section.sheets)
        return {part.key: part for part in parts}


def _people(asked: Asked) -> dict[str, Any]:
    if asked.filters.model is not None or asked.filters.version is not None:
        return {}
    charts = [] if asked.grain == By.HOUR else [_active(asked)]
    is_told = asked.days > 7 and not asked.filters.given
    return {"charts": charts, "retention": retention(asked, csv_url(asked, "retention")) if is_told else None}


def _active(asked: Asked) -> Chart:
    """People, which are counted by day or week: new ones on top of those who were here before."""
    grain = Grain.DAY if asked.grain == By.DAY else Grain.WEEK
    of: Mapping[datetime, tuple[Any, Any]] = shown_people_by(asked.period, grain, asked.filters)
    pairs = [of.get(point.start, (0, 0)) for point in asked.points]
    hidden = any(isinstance(value, Suppressed) for pair in pairs for value in pair)
    back = [None if known(a) is None or known(n) is None else a - n for a, n in pairs]
    series = [
        Series(_("here before"), back, Tone.MAIN),
        Series(_("new"), [known(new) for _active, new in pairs], Tone.THIRD),
    ]
    return of_points(
        asked, key="active", title=_("Active people"), series=series, metric=METRICS["new_people"], kind=Kind.BARS,
        hidden=hidden,
    )  # fmt: skip


def _talk(asked: Asked, groups: Groups) -> dict[str, Any]:
    dimensions = [By.PERSONA, By.LANGUAGE, By.CHANNEL]
    if asked.filters.persona is not None and "version" not in asked.fixed:
        dimensions[0] = By.VERSION
    shown = [by for by in dimensions if by.value not in asked.filters.given]
    return {
        "charts": [
            over_time(asked, groups, key="questions", title=_("Questions"), names=["questions"], kind=Kind.BARS),
            over_time(
                asked, groups, key="conversations", title=_("Conversations"), names=["conversations"], kind=Kind.BARS
            ),
        ],
        "tables": [] if asked.filters.model is not None else [_with_csv(asked, breakdown(asked, by)) for by in shown],
        "week": week_of(asked, csv_url(asked, "rhythm")) if asked.days > 2 and asked.filters.model is None else None,
        "links": _conversations(asked),
    }


def _first_token(asked: Asked, groups: Groups) -> Chart:
    names = ["first_token_p50", "first_token_p95", "first_token_p99"]
    return over_time(asked, groups, key="first-token", title=_("Time to the first token"), names=names)


def _whole(asked: Asked, groups: Groups) -> Chart:
    names = ["whole_p50", "whole_p95", "whole_p99"]
    return over_time(asked, groups, key="whole", title=_("Time to the end of the reply"), names=names)


def _endings(asked: Asked, groups: Groups) -> Chart:
    of = [
        (_("completed"), lambda t: t.completed, Tone.GOOD),
        (_("stopped"), lambda t: t.stopped, Tone.PLAIN),
        (_("interrupted"), lambda t: t.interrupted, Tone.WARN),
        (_("failed"), lambda t: t.failed, Tone.BAD),
    ]
    return counted(asked, groups, key="endings", title=_("How replies ended"), of=of)


def _trouble(asked: Asked, groups: Groups) -> Chart:
    names, tones = ["interrupted_rate", "failed_rate", "fallback_rate"], [Tone.WARN, Tone.BAD, Tone.SECOND]
    title = _("What went wrong, of all replies")
    return over_time(asked, groups, key="trouble", title=title, names=names, tones=tones)


def _knowledge(asked: Asked, groups: Groups) -> dict[str, Any]:
    of = [
        (_("approved answer"), lambda t: t.from_faq + t.from_faq_offline, Tone.MAIN),
        (_("model, FAQ asked"), lambda t: t.from_model, Tone.SECOND),
        (_("not known"), lambda t: t.unknown, Tone.WARN),
    ]
    tables = [] if asked.filters.given else [_with_csv(asked, table) for table in knowledge_tables(asked)]
    note = _("FAQs are not counted by persona, model, language or channel: without filters, their lists stand here.")
    return {
        "charts": [counted(asked, groups, key="sources", title=_("Where replies came from"), of=of)],
        "tables": tables,
        "note": note if asked.filters.given else "",
    }


def _thumbs(asked: Asked, groups: Groups) -> Chart:
    of = [
        (_("thumbs up"), lambda t: t.helpful, Tone.GOOD),
        (_("thumbs down"), lambda t: t.not_helpful, Tone.BAD),
    ]
    return counted(asked, groups, key="thumbs", title=_("Thumbs"), of=of)


def _satisfaction(asked: Asked, groups: Groups) -> Chart:
    return over_time(asked, groups, key="satisfaction", title=_("Satisfaction"), names=["satisfaction"])


def _cost(asked: Asked, groups: Groups, *, prices: bool) -> dict[str, Any]:
    of = [
        (_("read"), lambda t: t.prompt_tokens, Tone.SECOND),
        (_("written"), lambda t: t.completion_tokens, Tone.MAIN),
    ]
    tokens = counted(asked, groups, key="tokens", title=_("Tokens"), of=of, metric=METRICS["prompt_tokens"])
    cost = over_time(asked, groups, key="cost", title=_("Cost"), names=["cost"], kind=Kind.BARS, tones=[Tone.THIRD])
    cost = replace(cost, empty=_("None of these models has a price on the list."))
    charts, models = [cost, tokens], []
    if asked.filters.model is None:
        charts += _tokens_by_model(asked)
        models = [_with_csv(asked, breakdown(asked, By.MODEL))]
    links = [(reverse("admin:analytics_price_changelist"), _("Prices"))] if prices else []
    return {"charts": charts, "tables": models, "links": links}


def _tokens_by_model(asked: Asked) -> list[Chart]:
    """What each of the models that took most read and wrote; none where there is one alone. Of the whole organisation:
    how many persons are behind what is narrowed further is not counted by model and day."""
    if asked.filters.given or asked.grain == By.HOUR:
        return []
    tokens = shown_tokens_by_model(asked.period, asked.grain)
    sizes = {model: sum(known(of) or 0 for of in points.values()) for model, points in tokens.items()}
    models = sorted((model for model in sizes if sizes[model]), key=lambda model: (-sizes[model], model))
    if len(models) < 2:
        return []
    shown = models[: len(TONES)]
    series = [
        Series(model, [known(tokens[model].get(point.start, 0)) for point in asked.points], tone)
        for model, tone in zip(shown, TONES, strict=False)
    ]
    chart = of_points(
        asked, key="tokens-by-model", title=_("Tokens by model"), series=series, metric=METRICS["prompt_tokens"],
        kind=Kind.BARS, hidden=any(isinstance(of, Suppressed) for model in shown for of in tokens[model].values()),
    )  # fmt: skip
    left = _("Only the largest are shown.") if len(models) > len(shown) else ""
    return [replace(chart, note=" ".join(filter(None, [chart.note, left])))]


def _with_csv(asked: Asked, table: Table) -> Table:
    return replace(table, csv_url=csv_url(asked, table.key))


def _conversations(asked: Asked, **more: str) -> list[tuple[str, str]]:
    """The list of these conversations in the admin."""
    bounds = asked.period.bounds
    query = {"created_at__gte": bounds[0].isoformat(), "created_at__lt": bounds[-1].isoformat(), **more}
    if asked.filters.persona is not None:
        query["persona_version__persona__id__exact"] = str(asked.filters.persona)
    if asked.filters.channel is not None:
        query["channel"] = asked.filters.channel
    if asked.filters.language is not None:
        query["language"] = asked.filters.language or UNKNOWN_LANGUAGE
    address = f"{reverse('admin:conversations_conversation_changelist')}?{urlencode(query)}"
    return [(address, _("These conversations"))]


def _disliked(asked: Asked) -> list[tuple[str, str]]:
    ((address, _name),) = _conversations(asked, state="disliked")
    return [(address, _("Conversations with a reply that did not help"))]


def _moderated() -> list[tuple[str, str]]:
    return [(reverse("admin:conversations_moderationitem_changelist"), _("Flagged and blocked messages"))]
