"""Publishing and archiving while others search: what was withdrawn is found by nobody any more."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from faqs import services
from faqs.embedding import embedder, make_embedder
from faqs.indexing import fill_index
from faqs.matching import train_and_store
from faqs.models import FAQ
from faqs.retrieval import find_answer
from faqs.tests.factories import make_faq, make_index

pytestmark = pytest.mark.django_db(transaction=True)

ASKED = "How do I order the blue lamp?"
ROUNDS = 12
SEARCHERS = 3


def searching(look: Callable[[], None], work: Callable[[], None]) -> None:
    """Run ``work`` here while threads ``look`` again and again; raises what any of them raises."""
    done = threading.Event()
    begun = threading.Barrier(SEARCHERS + 1)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            begun.wait(10)
            while not done.is_set() and not errors:
                look()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(SEARCHERS)]
    for thread in threads:
        thread.start()
    try:
        begun.wait(10)
        work()
    finally:
        done.set()
        for thread in threads:
            thread.join(20)
    if errors:
        raise errors[0]


@pytest.mark.parametrize("with_matcher", [False, True])
def test_what_was_archived_is_never_found_after_the_commit(with_matcher: bool) -> None:
    faq = make_faq(ASKED, "In the shop.", phrasings=["blue lamp"])
    make_faq("Where is the museum?")
    make_index()
    hidden = [0]  # the number of the round in which it has been archived, 0 while it is not
    wrong: list[str] = []
    seen = threading.Event()

    def look() -> None:
        before = hidden[0]  # the commit is done
        matches = find_answer(ASKED, visibilities=["guests"]).matches
        found = any(match.faq == faq.pk for match in matches)
        if found:
            seen.set()
        if found and before and before == hidden[0]:
            wrong.append("archived, and found")

    def work() -> None:
        for number in range(1, ROUNDS + 1):
            if with_matcher:
                train_and_store()
            seen.clear()
            assert seen.wait(10)
            services.archive_faqs(faqs=[faq], actor=None)
            hidden[0] = number
            for _ in range(3):
                assert all(match.faq != faq.pk for match in find_answer(ASKED, visibilities=["guests"]).matches)
            hidden[0] = 0
            services.unarchive_faq(faq=faq, actor=None)
            services.publish_faqs(faqs=[FAQ.objects.get(pk=faq.pk)], actor=None)
            fill_index()

    searching(look, work)
    assert wrong == []


def test_an_edited_answer_is_the_one_that_is_given() -> None:
    faq = make_faq(ASKED, "Answer 0.")
    make_faq("Where is the museum?")
    make_index()
    train_and_store()
    committed = [0]
    wrong: list[str] = []

    def look() -> None:
        least = committed[0]
        best = find_answer(ASKED, visibilities=["guests"]).best
        assert best is not None
        if int(best.answer.removeprefix("Answer ").rstrip(".")) < least:
            wrong.append(best.answer)

    def work() -> None:
        for number in range(1, ROUNDS):
            services.edit_faq(faq=FAQ.objects.get(pk=faq.pk), actor=None, answer=f"Answer {number}.")
            committed[0] = number
            if number % 3 == 0:
                fill_index()
                train_and_store()

    searching(look, work)
    assert wrong == []


def test_the_first_search_of_many_threads_loads_the_model_once() -> None:
    make_faq(ASKED)
    make_index()
    make_embedder.cache_clear()
    found: list[int] = []
    searching(lambda: found.append(len(find_answer(ASKED, visibilities=["guests"]).matches)), lambda: None)
    assert set(found) <= {1}
    assert embedder("") is embedder("embedded/wordllama")
