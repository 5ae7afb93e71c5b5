"""The arithmetic of ranking, without a database."""

from uuid import UUID

import pytest

from faqs.ranking import (
    ENOUGH,
    FEW,
    OTHER_LANGUAGE,
    WORDS_WEIGHT,
    Candidate,
    Opinion,
    between,
    by_opinion,
    estimate,
    estimate_weight,
    rank_candidates,
    strength,
)


def uid(number: int) -> UUID:
    return UUID(int=number)


def near(
    faq: int, dense: float | None, words: float | None = None, *, n: int = 0, group: int = 0, language: str = "en"
) -> Candidate:
    return Candidate(uid(faq), uid(faq * 100 + n), uid(group or 1000 + faq), language, dense, words)


def order(*candidates: Candidate, language: str = "en") -> list[int]:
    return [one.faq.int for one in rank_candidates(candidates, language=language)]


def test_the_nearer_faq_comes_first() -> None:
    assert order(near(1, 0.4), near(2, 0.8), near(3, 0.6)) == [2, 3, 1]


def test_words_decide_between_equally_near_ones() -> None:
    assert order(near(1, 0.6, 0.1), near(2, 0.6, 0.9)) == [2, 1]


def test_words_never_outweigh_a_much_nearer_phrasing() -> None:
    assert order(near(1, 0.9), near(2, 0.9 - WORDS_WEIGHT - 0.01, 1.0)) == [1, 2]


def test_several_near_phrasings_outweigh_one_that_is_as_near() -> None:
    several = [near(2, 0.6, n=n) for n in range(4)]
    assert order(near(1, 0.6), *several) == [2, 1]


def test_many_far_phrasings_do_not_outweigh_a_near_one() -> None:
    far = [near(2, 0.3, n=n) for n in range(60)]
    assert order(near(1, 0.75), *far) == [1, 2]


def test_ties_stand_in_the_order_of_ids_whatever_came_first() -> None:
    candidates = [near(3, 0.5, 0.5), near(1, 0.5, 0.5), near(2, 0.5, 0.5)]
    assert order(*candidates) == order(*reversed(candidates)) == [1, 2, 3]


def test_rounding_noise_breaks_no_tie() -> None:
    assert order(near(2, 0.5000000001), near(1, 0.5)) == [1, 2]


def test_the_phrasing_shown_is_the_nearest() -> None:
    (ranked,) = rank_candidates([near(1, 0.2, n=1), near(1, 0.7, n=2), near(1, 0.5, n=3)], language="en")
    assert ranked.phrasing == uid(102)
    assert ranked.dense == 0.7


def test_a_phrasing_without_a_vector_is_judged_by_its_words() -> None:
    assert strength(None, 1.0) > strength(0.5, None) > strength(None, 0.2)
    assert order(near(1, 0.3), near(2, None, 1.0)) == [2, 1]


def test_of_equally_good_faqs_the_readers_language_comes_first() -> None:
    assert order(near(1, 0.7, language="de"), near(2, 0.7)) == [2, 1]
    assert order(near(1, 0.7, language="de"), near(2, 0.7), language="de") == [1, 2]


def test_a_clearly_better_faq_in_another_language_still_comes_first() -> None:
    assert order(near(1, 0.7 + OTHER_LANGUAGE + 0.02, language="de"), near(2, 0.7)) == [1, 2]


def test_a_region_is_the_same_language() -> None:
    assert order(near(2, 0.7, language="pt-br"), near(1, 0.68, language="en"), language="pt") == [2, 1]


def test_of_translations_only_the_readers_is_listed_at_the_best_ones_place() -> None:
    german = near(1, 0.9, group=7, language="de")
    english = near(2, 0.5, group=7)
    other = near(3, 0.7)
    assert order(german, english, other) == [2, 3]
    assert order(german, english, other, language="de") == [1, 3]
    assert order(german, english, other, language="fr") == [1, 3]


def test_scores_lie_between_0_and_1() -> None:
    ranked = rank_candidates([near(1, 1.0, 1.0), near(1, 1.0, 1.0, n=1), near(2, -0.9)], language="en")
    assert [one.score for one in ranked] == [1.0, 0.0]


def test_nothing_found_is_outside() -> None:
    assert estimate([]) == ([], 1.0)


def test_confidence_rises_with_cosine_and_margin() -> None:
    def first(*dense: float) -> tuple[float, float]:
        confidences, outside = estimate(
            rank_candidates([near(n, value) for n, value in enumerate(dense, 1)], language="en")
        )
        return confidences[0], outside

    assert first(0.9, 0.3)[0] > first(0.9, 0.85)[0] > first(0.5, 0.45)[0]
    assert first(0.9, 0.3)[1] < first(0.9, 0.85)[1] < first(0.3, 0.25)[1]
    assert first(0.95, 0.3)[0] > 0.9
    assert first(0.15, 0.14)[1] > 0.8


def test_confidences_of_different_faqs_exceed_no_certainty() -> None:
    confidences, _ = estimate(rank_candidates([near(n, 0.95 - n / 1000) for n in range(1, 4)], language="en"))
    assert all(0 <= second <= 1 - confidences[0] for second in confidences[1:])


def test_a_lone_faq_is_no_certainty() -> None:
    confidences, outside = estimate(rank_candidates([near(1, 0.2)], language="en"))
    assert confidences[0] < 0.1
    assert outside > 0.5


def test_a_matchers_opinion_keeps_its_order_and_its_confidence() -> None:
    opinion = Opinion([(uid(5), 0.6), (uid(2), 0.3), (uid(9), 0.1)], outside=0.2, confidence=0.55)
    ranked, confidences = by_opinion(opinion, limit=2)
    assert [one.faq for one in ranked] == [uid(5), uid(2)]
    assert confidences == [0.55, pytest.approx(0.3 * 0.8)]


def test_the_estimate_counts_for_half_beside_few_phrasings_and_for_nothing_beside_many() -> None:
    assert [estimate_weight(size) for size in (2, FEW, ENOUGH, 10 * ENOUGH)] == [0.5, 0.5, 0, 0]
    assert estimate_weight((FEW + ENOUGH) // 2) == 0.25


def test_two_probabilities_meet_between_them() -> None:
    assert between(0.9, 0.1, 0.5) == pytest.approx(0.5)
    assert between(0.9, 0.1, 0.25) == pytest.approx(0.75)
    assert between(0.123, 0.9, 0) == 0.123
    assert 0 < between(0.0, 1.0, 0.5) < 1
