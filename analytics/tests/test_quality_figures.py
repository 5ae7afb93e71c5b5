"""Accuracy, its interval and how far people agree, against known values."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from accounts.models import User
from accounts.tests.factories import make_moderator, make_user
from analytics import rollups
from analytics.period import Period
from analytics.quality.figures import (
    accuracy_of,
    agreement_of,
    cohens_kappa,
    effective,
    krippendorffs_alpha,
    read_groups,
    read_quality,
    wilson,
)
from analytics.quality.models import QualityItem, QualityOpinion, Stratum
from analytics.tests.replies import judged, make_item, make_reply
from analytics.totals import Filters
from personas.models import Persona
from personas.tests.factories import make_persona

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MARCH = Period(date(2026, 3, 1), date(2026, 3, 31), ZoneInfo("UTC"))


@pytest.mark.parametrize(
    ("right", "number", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_as_published(right: int, number: int, low: float, high: float) -> None:
    assert wilson(right / number, number) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_kappa_is_as_published() -> None:
    # Two readers of 50 proposals: 20 both yes, 5 the first alone, 10 the second alone, 15 neither. Kappa 0.4.
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert cohens_kappa(pairs) == pytest.approx(0.4)
    assert cohens_kappa([]) is None
    assert cohens_kappa([("yes", "yes")] * 9) is None
    assert cohens_kappa([("yes", "no"), ("no", "yes")]) == pytest.approx(-1)


def test_alpha_is_as_published() -> None:
    # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability": two observers, binary (B) 0.095; two observers,
    # nominal (C) 0.692; four observers, nominal, missing values (D) 0.743.
    binary = list(zip("0100000000", "1110010100", strict=True))
    assert krippendorffs_alpha(binary) == pytest.approx(0.095, abs=5e-4)
    nominal = list(zip("aabbdcccedda", "babbbccceddd", strict=True))
    assert krippendorffs_alpha(nominal) == pytest.approx(0.692, abs=5e-4)
    four = ["111", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "555", "11", "3"]
    assert krippendorffs_alpha(four) == pytest.approx(0.743, abs=5e-4)
    assert krippendorffs_alpha(["11", "11"]) is None


def test_effective_number_of_even_weights_is_their_number() -> None:
    assert effective([3.0] * 7) == pytest.approx(7)
    assert effective([1.0, 3.0]) == pytest.approx(1.6)


def item(verdict: str, **chances: float | None) -> QualityItem:
    return QualityItem(verdict=verdict, state="settled" if verdict else "open", **chances)


def test_accuracy_is_told_from_the_random_stratum_and_weighted() -> None:
    items = [
        item("yes", chance_random=0.5),
        item("yes", chance_random=0.5, chance_disliked=1.0),
        item("partly", chance_random=0.25),
        item("unclear", chance_random=0.5),
        item("", chance_random=0.5),
        *(item("no", chance_disliked=1.0) for _number in range(50)),
    ]
    found = accuracy_of(items, Stratum.RANDOM)
    assert (found.judged, found.unclear, found.open) == (3, 1, 1)
    assert found.share == pytest.approx(4 / 8)  # two that stand for two each, one that stands for four
    assert found.partly == pytest.approx(4 / 8)
    low, high = wilson(0.5, 64 / 24)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.is_few
    disliked = accuracy_of(items, Stratum.DISLIKED)
    assert (disliked.judged, disliked.share) == (51, pytest.approx(1 / 51))
    assert accuracy_of([], Stratum.RANDOM).share is None


def test_agreement_is_of_the_first_two_and_alpha_of_all() -> None:
    found = agreement_of([["yes", "yes"], ["yes", "no", "no"], ["no"], ["no", "no"]])
    assert (found.pairs, found.share) == (3, pytest.approx(2 / 3))
    assert found.kappa == pytest.approx(0.4)
    assert found.alpha == pytest.approx(krippendorffs_alpha(["yy", "ynn", "nn"]))


@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona()


def test_a_model_counts_in_nothing_but_its_own_agreement(persona: Persona, owner: User) -> None:
    for verdict in ("yes", "no"):
        one = make_item(make_reply(owner, persona, NOON))
        judged(make_moderator(), verdict)
        judged(make_moderator(), verdict)
        before = read_quality(MARCH)
        for said, error in (("no", ""), ("", "llm_timeout")):
            QualityOpinion.objects.create(
                item=one, model="fake/judge", prompt_version=1, correct=said, error_code=error
            )
        after = read_quality(MARCH)
        assert (after.accuracy, after.criteria) == (before.accuracy, before.criteria)
    assert after.accuracy.share == 0.5
    assert after.criteria["correct"].pairs == 2
    assert after.criteria["safe"].share == 1
    assert (after.model.pairs, after.model.share) == (2, 0.5)


def test_figures_are_of_the_days_persona_and_version_that_are_asked_for(persona: Persona, owner: User) -> None:
    other = make_persona()
    make_item(make_reply(owner, persona, NOON), state="settled", verdict="yes")
    make_item(make_reply(owner, other, NOON), state="settled", verdict="no")
    make_item(make_reply(owner, other, NOON - timedelta(days=30)), state="settled", verdict="no")
    assert read_quality(MARCH).accuracy.judged == 2
    assert read_quality(MARCH, Filters(persona=persona.pk)).accuracy.share == 1
    assert other.published is not None
    assert read_quality(MARCH, Filters(persona=other.pk, version=other.published.pk)).accuracy.judged == 1


def test_groups_of_few_people_are_not_told(persona: Persona) -> None:
    few = make_persona()
    for number in range(6):
        make_item(make_reply(make_user(), persona, NOON + timedelta(minutes=number)), state="settled", verdict="yes")
    make_item(make_reply(make_user(), few, NOON), state="settled", verdict="no")
    rollups.rebuild()
    groups = read_groups(MARCH)
    assert groups[few.pk, None] is None
    assert groups[few.pk, few.published.pk] is None
    # With two cells of which one is hidden, the rest would tell it: none is shown.
    assert groups[persona.pk, None] is None
    for _number in range(5):
        make_item(make_reply(make_user(), few, NOON), state="settled", verdict="no")
    rollups.rebuild()
    shown = read_groups(MARCH)
    assert (shown[persona.pk, None].share, shown[few.pk, None].judged) == (1, 6)
    assert shown[persona.pk, persona.published.pk].judged == 6
