"""The mix of questions by which the cache of replies is measured, and how its figures are made."""

import collections

from stress_tests.bench_cache import by_then, checks, saved
from stress_tests.faq_corpus import make_corpus
from stress_tests.question_mix import WRITTEN, make_mix, make_questions

CORPUS = list(make_corpus(10, 5))


def test_questions_are_different_and_none_is_a_phrasing() -> None:
    questions = make_questions(CORPUS, 200)
    assert len(set(questions)) == 200
    assert not set(questions) & {phrasing for faq in CORPUS for phrasing in faq.phrasings}
    assert questions == make_questions(CORPUS, 200)
    assert questions != make_questions(CORPUS, 200, seed=1)


def test_few_are_asked_often_and_many_once() -> None:
    mix = make_mix(make_questions(CORPUS, 100), 2000)
    often = collections.Counter(ask.number for ask in mix)
    # By Zipf's law the first comes 1/5.19 of the time, the tenth a tenth as often.
    assert 330 < often[0] < 440
    assert 20 < often[9] < 65
    written = collections.Counter(ask.written for ask in mix)
    assert set(written) == set(WRITTEN)
    assert 1100 < written["same"] < 1300


def test_all_ways_but_personal_data_leave_the_question_what_it_is() -> None:
    questions = make_questions(CORPUS, 50)
    for ask in make_mix(questions, 300):
        if ask.written == "same":
            assert ask.text == questions[ask.number]
        assert ("+49" in ask.text) == (ask.written == "personal")


def test_saved_is_what_would_have_been_a_call() -> None:
    assert saved(25, {"model": 25, "cached": 50, "direct": 25, "unknown": 100}) == 0.75
    assert saved(0, {}) == 0
    assert by_then(["model", "cached", "direct", "unknown", "model", "model", "cached", "cached"]) == [0.5, 1, 0, 1]


def test_both_targets_are_judged() -> None:
    found = {"with-faq": {"saved": 0.69}, "same, alone": {"calls": 1}}
    assert [check.passed for check in checks(found)] == [False, True]
    found = {"with-faq": {"saved": 0.7}, "same, alone": {"calls": 2}}
    assert [check.passed for check in checks(found)] == [True, False]
