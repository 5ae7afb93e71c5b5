"""How good replies are, as people judged them. The one place of these figures: they come from single verdicts and not
from sums of what was said (totals.py), so they are no metrics of metrics.py.

Accuracy is told from the replies that were drawn by chance alone. Each counts as many replies as it stands for, one by
the probability with which it was drawn, as busy days are drawn more thinly than quiet ones.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from uuid import UUID

from django.utils import timezone

from analytics.period import Period
from analytics.quality.models import Answer, QualityItem, QualityOpinion, QualityReview, Stratum
from analytics.quality.rubric import CORRECT, RUBRIC
from analytics.retention import verdicts_since
from analytics.suppression import is_shown
from analytics.totals import EVERYTHING, Filters

#: Of fewer judged replies, an accuracy says little, and is marked so.
FEW = 30
Z95 = 1.959964  # of the normal distribution: 95 % lie within


@dataclass(frozen=True, slots=True)
class Accuracy:
    """``judged``: replies with a verdict that tells. ``share`` is that of correct ones, ``low`` and ``high`` its 95 %
    interval, ``partly`` the share of those that are correct in part; None where nothing was judged. ``unclear``: nobody
    could tell, ``disputed``: three people said three things, ``open``: not judged to the end."""

    judged: int = 0
    unclear: int = 0
    disputed: int = 0
    open: int = 0
    share: float | None = None
    partly: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def is_few(self) -> bool:
        return self.judged < FEW


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two judgements of the same reply: how many pairs there are, which share of them is the same, and how far that
    is beyond chance: Cohen's kappa and, of all judgements, Krippendorff's alpha (nominal). None where it is not told,
    as everybody always said the same."""

    pairs: int
    share: float | None
    kappa: float | None
    alpha: float | None


@dataclass(frozen=True, slots=True)
class Quality:
    """What was found of a period. ``strata`` are the others than RANDOM, each by itself. ``criteria``: how people
    agreed on each; ``model``: how the model's opinions agree with people's verdicts."""

    accuracy: Accuracy
    strata: Mapping[Stratum, Accuracy]
    criteria: Mapping[str, Agreement]
    model: Agreement


# --- Pure


def wilson(share: float, number: float) -> tuple[float, float]:
    """The 95 % interval of a share of ``number`` (Wilson 1927, without continuity correction). ``number`` may be a
    broken one: weighted samples tell as much as an even one of that size."""
    square = Z95 * Z95
    middle = (share + square / (2 * number)) / (1 + square / number)
    half = Z95 * sqrt(share * (1 - share) / number + square / (4 * number * number)) / (1 + square / number)
    return max(0.0, middle - half), min(1.0, middle + half)


def effective(weights: Sequence[float]) -> float:
    """How many evenly drawn ones tell as much (Kish 1965)."""
    return sum(weights) ** 2 / sum(weight * weight for weight in weights)


def cohens_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen 1960, of the first and the second judgement; None where chance alone would always agree."""
    if not pairs:
        return None
    number = len(pairs)
    seen = sum(first == second for first, second in pairs) / number
    firsts, seconds = Counter(first for first, _ in pairs), Counter(second for _, second in pairs)
    by_chance = sum(firsts[answer] * seconds[answer] for answer in firsts) / number**2
    return None if by_chance == 1 else (seen - by_chance) / (1 - by_chance)


def krippendorffs_alpha(units: Iterable[Sequence[str]]) -> float | None:
    """Krippendorff 2004, nominal, of any number of judgements a unit; None where no two differ in all of them."""
    together: Counter[tuple[str, str]] = Counter()
    for unit in units:
        if len(unit) > 1:
            counts = Counter(unit)
            for one, ones in counts.items():
                for other, others in counts.items():
                    pairs = ones * (ones - 1) if one == other else ones * others
                    together[one, other] += pairs / (len(unit) - 1)  # type: ignore[assignment]  # a broken number
    totals: Counter[str] = Counter()
    for (one, _other), number in together.items():
        totals[one] += number
    whole = sum(totals.values())
    differ_by_chance = whole * whole - sum(number * number for number in totals.values())
    if not differ_by_chance:
        return None
    differ = sum(number for (one, other), number in together.items() if one != other)
    return 1 - (whole - 1) * differ / differ_by_chance


def accuracy_of(items: Iterable[QualityItem], stratum: Stratum) -> Accuracy:
    """Of those among ``items`` that the stratum drew."""
    chance = QualityItem.CHANCES[stratum]
    mine = [item for item in items if getattr(item, chance) is not None]
    told = [item for item in mine if item.verdict in (Answer.YES, Answer.PARTLY, Answer.NO)]
    counts = {
        "judged": len(told),
        "unclear": sum(item.verdict == Answer.CANNOT_TELL for item in mine),
        "disputed": sum(item.state == QualityItem.State.DISPUTED for item in mine),
        "open": sum(item.state == QualityItem.State.OPEN for item in mine),
    }
    if not told:
        return Accuracy(**counts)
    weights = {item.pk: 1 / getattr(item, chance) for item in told}
    share, partly = (
        sum(weights[item.pk] for item in told if item.verdict == verdict) / sum(weights.values())
        for verdict in (Answer.YES, Answer.PARTLY)
    )
    low, high = wilson(share, effective(list(weights.values())))
    return Accuracy(**counts, share=share, partly=partly, low=low, high=high)


def agreement_of(units: Iterable[Sequence[str]]) -> Agreement:
    """``units``: the judgements of each reply, in the order in which they were given."""
    several = [unit for unit in units if len(unit) > 1]
    pairs = [(unit[0], unit[1]) for unit in several]
    share = sum(one == other for one, other in pairs) / len(pairs) if pairs else None
    return Agreement(len(pairs), share, cohens_kappa(pairs), krippendorffs_alpha(several))


# --- From the database


def read_quality(period: Period, filters: Filters = EVERYTHING) -> Quality:
    """Of replies asked for in ``period``, of one persona and version where ``filters`` say so. Three queries."""
    items = _items(period, filters)
    reviews = QualityReview.objects.filter(item__in=[item.pk for item in items], done_at__isnull=False)
    judged: dict[UUID, list[QualityReview]] = {}
    for review in reviews.order_by("done_at", "pk"):
        judged.setdefault(review.item_id, []).append(review)
    return Quality(
        accuracy=accuracy_of(items, Stratum.RANDOM),
        strata={stratum: accuracy_of(items, stratum) for stratum in Stratum if stratum != Stratum.RANDOM},
        criteria={
            name: agreement_of([getattr(review, name) for review in turns] for turns in judged.values())
            for name in RUBRIC
        },
        model=agreement_of(_opinions(items)),
    )


def shown_quality(period: Period, filters: Filters = EVERYTHING) -> Quality | None:
    """The same for whoever may see figures; None where it may be of too few people (suppression.py)."""
    return read_quality(period, filters) if is_shown(period, filters) else None


def read_groups(period: Period) -> Mapping[tuple[UUID, UUID | None], Accuracy | None]:
    """The accuracy of each persona (no version) and each of its versions; None where figures of it are not shown, as
    they may be of too few people (suppression.py)."""
    groups: dict[tuple[UUID, UUID | None], list[QualityItem]] = {}
    for item in _items(period, EVERYTHING):
        groups.setdefault((item.persona, None), []).append(item)
        groups.setdefault((item.persona, item.version), []).append(item)
    return {key: accuracy_of(items, Stratum.RANDOM) if _is_shown(period, *key) else None
            for key, items in groups.items()}  # fmt: skip


def _is_shown(period: Period, persona: UUID, version: UUID | None) -> bool:
    return is_shown(period, Filters(persona=persona, version=version))


def _items(period: Period, filters: Filters) -> list[QualityItem]:
    given = {name: value for name, value in filters.given.items() if name in ("persona", "version")}
    first = max(period.first, verdicts_since(timezone.now()) or period.first)
    return list(QualityItem.objects.filter(day__gte=first, day__lte=period.last, **given))


def _opinions(items: Iterable[QualityItem]) -> list[Sequence[str]]:
    """Of each item with a verdict, that verdict and the newest opinion of a model."""
    verdicts = {item.pk: item.verdict for item in items if item.verdict}
    said = QualityOpinion.objects.filter(item__in=verdicts, error_code="").order_by("item", "-asked_at")
    return [(verdicts[each.item_id], getattr(each, CORRECT)) for each in said.distinct("item")]
