"""The matcher: when it serves, when it is stale, when it is trained, and what the tasks around it do."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from kombu.exceptions import OperationalError as BrokerError

from faqs import matching, services, tasks
from faqs.indexing import fill_index
from faqs.matcher import Ranking
from faqs.matching import is_stale, load_matcher, train_and_store
from faqs.models import FAQ, Embedding, KnowledgeState, TrainedMatcher
from faqs.retrieval import find_answer, search_faqs
from faqs.state import bump_revision, knowledge_state
from faqs.tests.factories import make_category, make_faq, make_index

pytestmark = pytest.mark.django_db(transaction=True)

TOPICS = {
    "How do I reset my password?": ["I forgot my password", "password lost", "cannot log in"],
    "Where is my new card?": ["My card has not arrived", "card delivery", "waiting for my card"],
    "What does a transfer cost?": ["transfer fee", "price of a transfer", "charge for sending money"],
    "How do I close my account?": ["delete my account", "account closing", "I want to leave"],
}
Queued = list[tuple[str, tuple[Any, ...]]]


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> Queued:
    """What was queued, instead of queueing it."""
    found: Queued = []

    def note(task: Any, *arguments: Any, countdown: float = 0.0) -> None:
        found.append((task.name.rpartition(".")[2], arguments))

    monkeypatch.setattr(tasks, "queue", note)
    monkeypatch.setattr("faqs.receivers.queue", note)
    return found


@pytest.fixture
def bank(queued: Queued) -> dict[str, FAQ]:
    faqs = {question: make_faq(question, f"About: {question}", phrasings=more) for question, more in TOPICS.items()}
    make_index()
    queued.clear()
    return faqs


def ask(query: str = "I lost my password", **filters: Any) -> Any:
    filters.setdefault("visibilities", ["guests"])
    return find_answer(query, **filters)


# --- When it serves -------------------------------------------------------------------------------------------------
def test_retrieval_alone_serves_until_a_matcher_is_trained(bank: dict[str, FAQ]) -> None:
    assert not ask().matcher_used
    assert train_and_store() is not None
    found = ask()
    assert found.matcher_used
    assert found.best.question == "How do I reset my password?"
    assert found.best.phrasing in {"password lost", "I forgot my password"}
    assert found.best.dense > 0.5
    assert 0 < found.best.score <= 1
    assert found.best.words > 0
    assert 0 <= found.outside <= 1
    assert 0 <= found.best.confidence <= 1


def test_one_query_does_where_a_matcher_serves(bank: dict[str, FAQ], django_assert_num_queries: Any) -> None:
    train_and_store()
    ask()
    with django_assert_num_queries(1):
        assert ask().matcher_used


@pytest.mark.parametrize(
    "change",
    [
        lambda bank: services.edit_faq(
            faq=bank["Where is my new card?"], actor=None, phrasings=["where has my plastic gone"]
        ),
        lambda bank: services.archive_faqs(faqs=[bank["Where is my new card?"]], actor=None),
        lambda bank: make_faq("Which documents do I need?"),
        lambda bank: bump_revision(),
    ],
)
def test_a_change_of_the_knowledge_makes_it_stale_at_once(
    bank: dict[str, FAQ], change: Callable[[dict[str, FAQ]], Any]
) -> None:
    train_and_store()
    assert ask().matcher_used
    change(bank)
    assert is_stale(knowledge_state())
    assert not ask().matcher_used
    fill_index()
    train_and_store()
    assert ask().matcher_used


def test_a_switch_of_the_embedding_model_makes_it_stale(bank: dict[str, FAQ]) -> None:
    train_and_store()
    TrainedMatcher.objects.update(model=make_model())
    assert is_stale(knowledge_state())
    assert not ask().matcher_used


def make_model() -> Any:
    from faqs.models import EmbeddingModel

    return EmbeddingModel.objects.create(name="other/model", dimensions=256)


def test_a_new_matcher_is_noticed_at_once_and_loaded_once(
    bank: dict[str, FAQ], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Any] = []
    real = matching._from_bytes
    monkeypatch.setattr(matching, "_from_bytes", lambda *given: loads.append(given[0]) or real(*given))
    first = train_and_store()
    for _ in range(3):
        ask()
    bump_revision()
    second = train_and_store()
    for _ in range(3):
        assert ask().matcher_used
    assert first is not None
    assert second is not None
    assert loads == [first.pk, second.pk]


def test_arrays_that_cannot_be_read_leave_retrieval_alone(bank: dict[str, FAQ]) -> None:
    train_and_store()
    TrainedMatcher.objects.update(arrays=b"not a matcher")
    matching._loaded.clear()
    found = ask()
    assert not found.matcher_used
    assert found.best.question == "How do I reset my password?"


# --- Filters ----------------------------------------------------------------------------------------------------------
def test_it_ranks_only_what_the_filters_allow(bank: dict[str, FAQ]) -> None:
    cards = make_category("cards")
    services.edit_faq(faq=bank["Where is my new card?"], actor=None, category=cards)
    services.edit_faq(faq=bank["How do I close my account?"], actor=None, visibility="staff")
    fill_index()
    train_and_store()
    found = ask(categories=["cards"])
    assert found.matcher_used
    assert [match.question for match in found.matches] == ["Where is my new card?"]
    guests = [match.question for match in search_faqs("delete my account", visibilities=["guests"], limit=9)]
    assert "How do I close my account?" not in guests
    assert len(guests) == 3
    staff = search_faqs("delete my account", visibilities=["guests", "users", "staff"])
    assert staff[0].question == "How do I close my account?"


def test_its_probabilities_are_of_those_allowed(bank: dict[str, FAQ]) -> None:
    services.edit_faq(faq=bank["How do I close my account?"], actor=None, visibility="staff")
    fill_index()
    train_and_store()
    found = ask("delete my account", limit=9)
    assert found.matcher_used
    assert sum(match.confidence for match in found.matches) <= 1 + 1e-6


# --- What it is worth -----------------------------------------------------------------------------------------------
class Sanguine:
    """A matcher that takes every question for its first FAQ's, as one that learned from too little may."""

    def __init__(self, faqs: list[FAQ]) -> None:
        self.labels = tuple(str(faq.pk) for faq in faqs)

    def rank(self, text: str, vector: Any, *, candidates: Any = None) -> Ranking:
        return Ranking([(label, 0.9 - 0.1 * n) for n, label in enumerate(self.labels)], 0.2, 0.9)


@pytest.fixture
def sanguine(bank: dict[str, FAQ], monkeypatch: pytest.MonkeyPatch) -> list[FAQ]:
    """The FAQs in the order in which the matcher always ranks them."""
    assert train_and_store() is not None
    faqs = list(bank.values())
    monkeypatch.setattr("faqs.retrieval.load_matcher", lambda _id: Sanguine(faqs))
    return faqs


def test_a_matcher_of_few_phrasings_is_not_believed_what_the_cosines_deny(
    sanguine: list[FAQ], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ask("Which volcano erupted on Iceland last winter?")
    assert found.matcher_used
    assert found.is_below_floor
    assert found.best.confidence < 0.6
    assert ask("I have lost my password").best.confidence > 0.6
    monkeypatch.setattr("faqs.ranking.FEW", 1)
    monkeypatch.setattr("faqs.ranking.ENOUGH", 2)
    assert not ask("Which volcano erupted on Iceland last winter?").is_below_floor


def test_the_very_words_of_a_phrasing_are_sure_whatever_the_matcher_says(sanguine: list[FAQ]) -> None:
    for words in ("Charge for sending money", "charge for sending money?!"):
        found = ask(words)
        assert found.best.question == "What does a transfer cost?"
        assert found.best.confidence >= 0.99
        assert found.outside < 0.011
        assert all(match.confidence < 0.011 for match in found.matches[1:])


def test_words_that_two_faqs_have_are_sure_for_neither(sanguine: list[FAQ]) -> None:
    services.edit_faq(faq=sanguine[3], actor=None, phrasings=["price of a transfer"])
    fill_index()
    train_and_store()
    assert ask("price of a transfer").best.confidence < 0.99


def test_an_faq_that_is_out_of_its_time_is_not_ranked(bank: dict[str, FAQ]) -> None:
    from django.utils import timezone

    train_and_store()
    assert ask().best.question == "How do I reset my password?"
    FAQ.objects.filter(pk=bank["How do I reset my password?"].pk).update(valid_until=timezone.now())
    assert all(match.question != "How do I reset my password?" for match in ask(limit=9).matches)


# --- Training ---------------------------------------------------------------------------------------------------------
def test_it_learns_from_published_phrasings_with_their_own_vectors(
    bank: dict[str, FAQ], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_faq("A draft that nobody approved?", published=False)
    Embedding.objects.filter(phrasing__text="card delivery").update(text_hash="0" * 64)
    learned: list[tuple[list[str], list[str]]] = []
    import faqs.matcher

    real = faqs.matcher.train_matcher

    def note(texts: list[str], labels: list[str], vectors: Any) -> Any:
        learned.append((texts, labels))
        return real(texts, labels, vectors)

    monkeypatch.setattr(faqs.matcher, "train_matcher", note)
    trained = train_and_store()
    ((texts, labels),) = learned
    assert set(texts) == {*TOPICS, *(text for more in TOPICS.values() for text in more)} - {"card delivery"}
    assert set(labels) == {str(faq.pk) for faq in bank.values()}
    assert trained is not None
    assert (trained.faq_count, trained.phrasing_count) == (4, 15)


def test_a_change_while_it_trains_throws_it_away_and_has_another_trained(
    bank: dict[str, FAQ], queued: Queued, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = matching._published

    def late(model: int) -> Any:
        found = real(model)
        monkeypatch.setattr(matching, "_published", real)
        bump_revision()
        return found

    monkeypatch.setattr(matching, "_published", late)
    before = knowledge_state().revision
    assert not tasks.train_matcher(before)
    assert not TrainedMatcher.objects.exists()
    assert ("train_matcher", (before + 1,)) in queued
    assert tasks.train_matcher(before + 1)
    assert ask().matcher_used


def test_only_the_last_two_are_kept(bank: dict[str, FAQ]) -> None:
    for _ in range(4):
        bump_revision()
        newest = train_and_store()
    assert TrainedMatcher.objects.count() == 2
    assert newest is not None
    assert knowledge_state().matcher_id == newest.pk


def test_one_faq_teaches_nothing(queued: Queued) -> None:
    make_faq("Where is the only thing?")
    make_index()
    assert train_and_store() is None
    assert search_faqs("the only thing", visibilities=["guests"])


def test_more_than_a_matcher_can_learn_well_is_left_to_retrieval(
    bank: dict[str, FAQ], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faqs.matcher.training.MAX_COEFFICIENTS", 4 * 16 - 1)
    assert train_and_store() is None
    assert not ask().matcher_used
    monkeypatch.setattr("faqs.matcher.training.MAX_COEFFICIENTS", 4 * 16)
    assert train_and_store() is not None


def test_it_comes_back_from_the_database_as_it_was(bank: dict[str, FAQ]) -> None:
    trained = train_and_store()
    assert trained is not None
    matching._loaded.clear()
    matcher = load_matcher(trained.pk)
    assert matcher is not None
    assert set(matcher.labels) == {str(faq.pk) for faq in bank.values()}


# --- Tasks ------------------------------------------------------------------------------------------------------------
def test_a_publish_queues_embedding_which_queues_training(queued: Queued) -> None:
    make_faq("Where is the key?")
    make_faq("Where is the door?")
    assert ("embed_phrasings", ()) in queued
    queued.clear()
    tasks.embed_phrasings()
    assert Embedding.objects.count() == 2
    assert queued == [("train_matcher", (knowledge_state().revision,))]
    assert tasks.train_matcher(*queued[0][1])
    assert ask("key").matcher_used


def test_a_burst_of_changes_is_trained_once(bank: dict[str, FAQ], queued: Queued) -> None:
    for number in range(5):
        services.edit_faq(faq=bank["Where is my new card?"], actor=None, answer=f"Answer {number}.")
        tasks.embed_phrasings()
    trainings = [arguments for name, arguments in queued if name == "train_matcher"]
    assert [tasks.train_matcher(*arguments) for arguments in trainings] == [False] * 4 + [True]


def test_tasks_that_run_twice_do_nothing_more(bank: dict[str, FAQ], queued: Queued) -> None:
    tasks.embed_phrasings()
    assert tasks.train_matcher()
    queued.clear()
    tasks.embed_phrasings()
    assert not tasks.train_matcher()
    assert queued == []
    assert TrainedMatcher.objects.count() == 1


def test_two_trainings_at_once_are_one(bank: dict[str, FAQ]) -> None:
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [tasks.TRAINING])
        assert not tasks.train_matcher()
    finally:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")
        other.close()
    assert tasks.train_matcher()


def test_it_is_not_trained_before_every_vector_is_there(bank: dict[str, FAQ]) -> None:
    make_faq("Which documents do I need?")
    assert not tasks.train_matcher()
    fill_index()
    assert tasks.train_matcher()


def test_the_timetable_finds_what_was_lost(bank: dict[str, FAQ], queued: Queued) -> None:
    tasks.refresh_knowledge()
    assert queued == [("train_matcher", ())]
    tasks.train_matcher()
    queued.clear()
    tasks.refresh_knowledge()
    assert queued == []
    make_faq("Which documents do I need?")
    queued.clear()
    tasks.refresh_knowledge()
    assert queued == [("embed_phrasings", ())]


def test_a_slice_that_is_not_enough_hands_over(
    bank: dict[str, FAQ], queued: Queued, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_faq("Which documents do I need?")
    queued.clear()
    monkeypatch.setattr(tasks, "SLICE", -1.0)
    tasks.embed_phrasings()
    assert queued == [("embed_phrasings", ())]


def test_a_broker_that_is_away_stops_no_publish(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*arguments: Any, **options: Any) -> None:
        raise BrokerError("away")

    monkeypatch.setattr(tasks.embed_phrasings, "apply_async", away)
    make_faq("Where is the key?")
    assert FAQ.objects.get().status == FAQ.Status.PUBLISHED


def test_an_empty_knowledge_is_no_trouble(queued: Queued) -> None:
    assert ask().matches == []
    tasks.embed_phrasings()
    tasks.refresh_knowledge()
    assert not tasks.train_matcher()
    assert KnowledgeState.objects.get().matcher is None
