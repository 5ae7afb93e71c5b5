"""Every figure in one place: what it is called, what it counts and how it is made of what is summed up. The dashboard,
the API, reports and /metrics show these and no others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from analytics.histograms import percentile
from analytics.totals import Totals

Value = int | float | Decimal | None
"""None where there is nothing to tell: no reply, no model that has a price, a filter under which it is not counted."""


class Unit(StrEnum):
    NUMBER = "number"
    SHARE = "share"  # of 1
    SECONDS = "seconds"
    TOKENS = "tokens"
    MONEY = "money"  # settings.PRICE_CURRENCY


class Better(StrEnum):
    """Which way is good."""

    MORE = "more"
    LESS = "less"
    NEITHER = ""


class Group(StrEnum):
    """Which figures stand together."""

    PEOPLE = "people"
    TALK = "talk"
    SPEED = "speed"
    ENDINGS = "endings"
    KNOWLEDGE = "knowledge"
    OPINION = "opinion"
    COST = "cost"
    SAFETY = "safety"
    RIGHTS = "rights"


@dataclass(frozen=True, slots=True)
class Metric:
    """``formula`` says what ``of`` does, ``source`` where what it uses is counted. ``by_model``: it is of replies, so
    that it can be told by model and version. ``whole``: only of a whole period, of all or narrowed; in no group.
    ``parts``: of a share of things that were counted one by one, how many and of how many (intervals.py)."""

    name: str
    label: str | Promise
    group: Group
    unit: Unit
    formula: str | Promise
    source: str
    of: Callable[[Totals], Value]
    better: Better = Better.NEITHER
    by_model: bool = False
    whole: bool = False
    parts: Callable[[Totals], tuple[int, int]] | None = None


def _proportion(
    name: str,
    label: str | Promise,
    group: Group,
    formula: str | Promise,
    parts: Callable[[Totals], tuple[int, int]],
    better: Better = Better.NEITHER,
) -> Metric:
    """A share of replies that were counted one by one."""
    return Metric(
        name, label, group, Unit.SHARE, formula, SAID, lambda t: share(*parts(t)), better, by_model=True, parts=parts
    )


def share(part: float | None, whole: float | None) -> float | None:
    return None if not whole or part is None else part / whole


def _percentile(kind: str, part: float) -> Callable[[Totals], Value]:
    return lambda totals: percentile(totals.histograms[kind], part)


def _mean_turns(totals: Totals) -> Value:
    turns = totals.histograms["turns"]
    return share(sum(number * count for number, count in turns.items()), sum(turns.values()))


def _deepest(totals: Totals) -> Value:
    """Nine of ten conversations have no more questions."""
    turns, passed = totals.histograms["turns"], 0
    for number in sorted(turns):
        passed += turns[number]
        if passed >= 0.9 * sum(turns.values()):
            return number
    return None


def _answered(totals: Totals) -> int:
    """Replies that came from a model."""
    return totals.replies - totals.from_faq - totals.from_faq_offline - totals.unknown - totals.from_cache


def _cost(totals: Totals) -> Value:
    cost = totals.cost
    if not cost.exact and not cost.estimated and cost.unknown:
        return None
    return cost.exact + cost.estimated


def _saved(totals: Totals) -> Value:
    """What the replies that needed no model would have cost, had they cost what the others did."""
    cost, answered = _cost(totals), _answered(totals)
    return None if cost is None or not answered else Decimal(_spared(totals)) * Decimal(cost) / answered


def _spared(totals: Totals) -> int:
    """Replies that a model would have had to make: approved answers, and what one had said to somebody else."""
    return totals.from_faq + totals.from_cache


def _consulted(totals: Totals) -> int:
    return totals.from_model + totals.from_faq + totals.from_faq_offline + totals.unknown


def _happened(name: str, *labels: str) -> Callable[[Totals], Value]:
    return lambda totals: totals.happened_of(name, *labels)


def _persons(of: str) -> Callable[[Totals], Value]:
    return lambda totals: None if totals.persons is None else getattr(totals.persons, of)


def _daily(totals: Totals) -> Value:
    return None if totals.persons is None else share(totals.persons.daily, totals.persons.days)


def _returning(totals: Totals) -> Value:
    return None if totals.persons is None else share(totals.persons.daily - totals.persons.new, totals.persons.days)


def _thumbs(totals: Totals) -> tuple[int, int]:
    return totals.helpful, totals.helpful + totals.not_helpful


def _page_votes(totals: Totals) -> tuple[int, int]:
    return totals.page_helped, totals.page_helped + totals.page_did_not_help


SAID, PEOPLE = "rollups of questions and replies", "people counted by day, week and month"
CITED = "rollups of what FAQs did"
BESIDE, PRICES = "rollups of what happens beside conversations", "rollups and the price list"

_ALL = (
    Metric("active_daily", _("active people a day"), Group.PEOPLE, Unit.NUMBER, _("people who asked something on a day, on average over the days"), PEOPLE, _daily, Better.MORE, whole=True),
    Metric("active_weekly", _("active people in the week"), Group.PEOPLE, Unit.NUMBER, _("people who asked something in the week of the last day"), PEOPLE, _persons("weekly"), Better.MORE, whole=True),
    Metric("active_monthly", _("active people in the month"), Group.PEOPLE, Unit.NUMBER, _("people who asked something in the month of the last day"), PEOPLE, _persons("monthly"), Better.MORE, whole=True),
    Metric("new_people", _("new people"), Group.PEOPLE, Unit.NUMBER, _("people who asked something on the day of their first conversation"), PEOPLE, _persons("new"), Better.MORE, whole=True),
    Metric("returning_daily", _("returning people a day"), Group.PEOPLE, Unit.NUMBER, _("active people a day without the new ones"), PEOPLE, _returning, Better.MORE, whole=True),
    Metric("conversations", _("conversations"), Group.TALK, Unit.NUMBER, _("conversations that were begun"), SAID, lambda t: t.conversations, Better.MORE),
    Metric("questions", _("questions"), Group.TALK, Unit.NUMBER, _("messages of people"), SAID, lambda t: t.questions, Better.MORE),
    Metric("replies", _("replies"), Group.TALK, Unit.NUMBER, _("replies that have ended"), SAID, lambda t: t.replies, Better.MORE, by_model=True),
    Metric("length", _("questions a conversation"), Group.TALK, Unit.NUMBER, _("mean number of questions of the conversations that were begun"), SAID, _mean_turns),
    Metric("depth", _("questions in nine of ten conversations"), Group.TALK, Unit.NUMBER, _("nine of ten conversations have no more questions than this"), SAID, _deepest),
    *(
        Metric(f"{kind}_p{part}", label, Group.SPEED, Unit.SECONDS, formula, "histograms of replies, at most 2 % off", _percentile(kind, part / 100), Better.LESS, by_model=True)
        for kind, formula, labels in (
            ("first_token", _("seconds from the question to the reply's first token"), {50: _("first token, median"), 95: _("first token, 95 %"), 99: _("first token, 99 %")}),
            ("whole", _("seconds from the question to the reply's end"), {50: _("whole reply, median"), 95: _("whole reply, 95 %"), 99: _("whole reply, 99 %")}),
            ("waited", _("seconds that a reply waited for a worker"), {50: _("queue, median"), 95: _("queue, 95 %"), 99: _("queue, 99 %")}),
        )
        for part, label in labels.items()
    ),
    _proportion("completed_rate", _("completed"), Group.ENDINGS, _("completed replies / replies"), lambda t: (t.completed, t.replies), Better.MORE),
    _proportion("stop_rate", _("stopped"), Group.ENDINGS, _("replies that their person stopped / replies"), lambda t: (t.stopped, t.replies), Better.LESS),
    _proportion("interrupted_rate", _("interrupted"), Group.ENDINGS, _("replies that were cut / replies"), lambda t: (t.interrupted, t.replies), Better.LESS),
    _proportion("failed_rate", _("failed"), Group.ENDINGS, _("replies without a text / replies"), lambda t: (t.failed, t.replies), Better.LESS),
    Metric("fallback_rate", _("fallback"), Group.ENDINGS, Unit.SHARE, _("replies of another provider than was asked, or of the FAQ because no model answered / replies"), SAID, lambda t: share(t.fell_back + t.from_faq_offline, t.replies), Better.LESS, by_model=True),
    Metric("direct_answers", _("approved answers given"), Group.KNOWLEDGE, Unit.NUMBER, _("replies that are an approved answer as it is, without a model"), SAID, lambda t: t.from_faq, Better.MORE, by_model=True),
    _proportion("direct_rate", _("answered directly"), Group.KNOWLEDGE, _("approved answers given / replies for which the FAQ was asked"), lambda t: (t.from_faq, _consulted(t)), Better.MORE),
    _proportion("unknown_rate", _("not known"), Group.KNOWLEDGE, _("replies that say it is not known / replies for which the FAQ was asked"), lambda t: (t.unknown, _consulted(t)), Better.LESS),
    Metric("handed_over", _("asked for a person"), Group.KNOWLEDGE, Unit.NUMBER, _("replies below which a person was asked for"), SAID, lambda t: t.handed_over, Better.LESS, by_model=True),
    Metric("deflection", _("helped without a person"), Group.KNOWLEDGE, Unit.SHARE, _("1 - asked for a person / conversations"), SAID, lambda t: None if not t.conversations else max(0.0, 1 - t.handed_over / t.conversations), Better.MORE),
    Metric("gap_questions", _("questions without a good answer"), Group.KNOWLEDGE, Unit.NUMBER, _("questions on the editors' list"), BESIDE, _happened("gap_question"), Better.LESS, whole=True),
    Metric("did_not_help", _("FAQ did not help"), Group.KNOWLEDGE, Unit.NUMBER, _("FAQ pages that somebody found not helpful"), BESIDE, _happened("faq_page_helped", "no"), Better.LESS, whole=True),
    Metric("helpful", _("thumbs up"), Group.OPINION, Unit.NUMBER, _("replies found helpful"), SAID, lambda t: t.helpful, Better.MORE, by_model=True),
    Metric("not_helpful", _("thumbs down"), Group.OPINION, Unit.NUMBER, _("replies found not helpful"), SAID, lambda t: t.not_helpful, Better.LESS, by_model=True),
    _proportion("satisfaction", _("satisfaction"), Group.OPINION, _("thumbs up / thumbs"), _thumbs, Better.MORE),
    Metric("feedback_rate", _("judged"), Group.OPINION, Unit.SHARE, _("thumbs / replies"), SAID, lambda t: share(t.helpful + t.not_helpful, t.replies), by_model=True),
    Metric("comments", _("comments"), Group.OPINION, Unit.NUMBER, _("thumbs with a comment"), SAID, lambda t: t.comments, by_model=True),
    Metric("prompt_tokens", _("tokens read"), Group.COST, Unit.TOKENS, _("tokens that models read"), SAID, lambda t: t.prompt_tokens, by_model=True),
    Metric("completion_tokens", _("tokens written"), Group.COST, Unit.TOKENS, _("tokens that models wrote"), SAID, lambda t: t.completion_tokens, by_model=True),
    Metric("estimated_tokens", _("tokens estimated"), Group.COST, Unit.SHARE, _("tokens that the provider did not count itself / tokens"), SAID, lambda t: share(t.prompt_estimated + t.completion_estimated, t.prompt_tokens + t.completion_tokens), by_model=True),
    Metric("cost", _("cost"), Group.COST, Unit.MONEY, _("tokens * price of their day"), PRICES, _cost, Better.LESS, by_model=True),
    Metric("cost_estimated", _("cost, estimated part"), Group.COST, Unit.MONEY, _("the part of the cost whose tokens are estimated"), PRICES, lambda t: t.cost.estimated, by_model=True),
    Metric("tokens_without_price", _("tokens without a price"), Group.COST, Unit.TOKENS, _("tokens of models that are not on the price list"), PRICES, lambda t: t.cost.unknown, Better.LESS, by_model=True),
    Metric("cost_per_reply", _("cost a reply"), Group.COST, Unit.MONEY, _("cost / replies that came from a model"), PRICES, lambda t: None if _cost(t) is None or not _answered(t) else Decimal(_cost(t) or 0) / _answered(t), Better.LESS, by_model=True),
    Metric("cached_replies", _("replies given again"), Group.COST, Unit.NUMBER, _("replies that are what a model had said to somebody else who asked the same"), SAID, lambda t: t.from_cache, Better.MORE, by_model=True),
    Metric("spared_rate", _("calls of models spared"), Group.COST, Unit.SHARE, _("(approved answers given + replies given again) / (these + replies that came from a model)"), SAID, lambda t: share(_spared(t), _spared(t) + _answered(t)), Better.MORE),
    Metric("saved", _("saved by approved answers and replies given again"), Group.COST, Unit.MONEY, _("(approved answers given + replies given again) * cost a reply"), PRICES, _saved, Better.MORE),
    Metric("flagged", _("flagged"), Group.SAFETY, Unit.NUMBER, _("messages that moderation let pass and noted"), BESIDE, _happened("moderated", "flag"), Better.LESS, whole=True),
    Metric("blocked", _("blocked"), Group.SAFETY, Unit.NUMBER, _("messages that moderation held back"), BESIDE, _happened("moderated", "block"), Better.LESS, whole=True),
    Metric("crisis_help", _("crisis help shown"), Group.SAFETY, Unit.NUMBER, _("messages that were answered with where to find help"), BESIDE, _happened("moderated", "crisis"), whole=True),
    Metric("appeals", _("objections"), Group.SAFETY, Unit.NUMBER, _("decisions of moderation that somebody objected to"), BESIDE, _happened("moderation_appealed"), Better.LESS, whole=True),
    Metric("consents_given", _("consents given"), Group.RIGHTS, Unit.NUMBER, _("lines of the ledger that give a consent"), BESIDE, _happened("consent_given"), whole=True),
    Metric("consents_refused", _("consents refused or withdrawn"), Group.RIGHTS, Unit.NUMBER, _("lines of the ledger that refuse or withdraw one"), BESIDE, _happened("consent_refused"), whole=True),
    Metric("copies_asked", _("copies asked for"), Group.RIGHTS, Unit.NUMBER, _("requests of people for a copy of their data"), BESIDE, _happened("data_request", "export"), whole=True),
    Metric("erasures_asked", _("erasures asked for"), Group.RIGHTS, Unit.NUMBER, _("requests of people for the erasure of their data"), BESIDE, _happened("data_request", "erasure"), whole=True),
)  # fmt: skip

_OF_FAQS = (
    Metric("faq_cited", _("uses"), Group.KNOWLEDGE, Unit.NUMBER, _("replies that cite the FAQ"), CITED, lambda t: t.cited, Better.MORE),
    Metric("faq_direct", _("given as it is"), Group.KNOWLEDGE, Unit.NUMBER, _("replies that are the FAQ's answer as it is, without a model"), CITED, lambda t: t.direct, Better.MORE),
    Metric("faq_helpful", _("thumbs up"), Group.OPINION, Unit.NUMBER, _("replies that cite the FAQ and were found helpful"), CITED, lambda t: t.helpful, Better.MORE),
    Metric("faq_not_helpful", _("thumbs down"), Group.OPINION, Unit.NUMBER, _("replies that cite the FAQ and were found not helpful"), CITED, lambda t: t.not_helpful, Better.LESS),
    Metric("faq_satisfaction", _("helpfulness"), Group.OPINION, Unit.SHARE, _("thumbs up / thumbs on replies that cite the FAQ"), CITED, lambda t: share(*_thumbs(t)), Better.MORE, parts=_thumbs),
    Metric("faq_page_helped", _("helped on its page"), Group.OPINION, Unit.SHARE, _("people whom the FAQ's page helped / people who said whether it did"), "FAQ feedback", lambda t: share(*_page_votes(t)), Better.MORE, parts=_page_votes),
)  # fmt: skip

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}

#: Of an FAQ: the totals of faq_figures.py.
FAQ_METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _OF_FAQS}


def values(totals: Totals, names: tuple[str, ...] | None = None) -> dict[str, Value]:
    """The figures of those ``names``, or of all, of what is summed up."""
    return {name: METRICS[name].of(totals) for name in names or METRICS}
