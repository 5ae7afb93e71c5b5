"""Retrieval on a real pgvector with the embedded model: what is found, and what must never be."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.audience import Visibility
from faqs import first_stage, retrieval, services
from faqs.models import FAQ, Embedding, KnowledgeState, Phrasing
from faqs.retrieval import Found, find_answer, search_faqs
from faqs.tests.factories import make_category, make_faq, make_index

pytestmark = pytest.mark.django_db

GUESTS = [Visibility.GUESTS]
EVERYBODY = [Visibility.GUESTS, Visibility.USERS, Visibility.STAFF]


def questions(query: str, **filters: Any) -> list[str]:
    filters.setdefault("visibilities", GUESTS)
    return [match.question for match in search_faqs(query, **filters)]


@pytest.fixture
def walking(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    """Even few phrasings are searched by walking the index, which the planner would not think worth it."""
    monkeypatch.setattr(retrieval, "FEW_PHRASINGS", 0)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")


@pytest.fixture
def bank() -> dict[str, FAQ]:
    faqs = {
        "password": make_faq("How do I reset my password?", "Use the link.", phrasings=["I forgot my password"]),
        "card": make_faq("Where is my new card?", "In the mail.", phrasings=["My card has not arrived yet"]),
        "fees": make_faq("What does a transfer abroad cost?", "Two euros.", phrasings=["Fees for foreign transfers"]),
    }
    make_index()
    return faqs


def test_a_question_in_other_words_finds_its_faq(bank: dict[str, FAQ]) -> None:
    found = find_answer("I can't remember my password", visibilities=GUESTS)
    assert found.best is not None
    assert found.best.faq == bank["password"].pk
    assert found.best.phrasing == "I forgot my password"
    assert found.best.answer == "Use the link."
    assert found.best.version == 1
    assert found.best.dense is not None
    assert found.best.dense > 0.6
    assert not found.matcher_used
    assert found.vector is not None
    assert found.vector.shape == (256,)


def test_an_faq_stands_once_however_many_of_its_phrasings_match(bank: dict[str, FAQ]) -> None:
    found = questions("new card has not arrived")
    assert found[0] == "Where is my new card?"
    assert len(found) == len(set(found)) == 3


def test_the_limit_holds(bank: dict[str, FAQ]) -> None:
    assert len(questions("password", limit=1)) == 1
    assert questions("password", limit=0) == []


@pytest.mark.parametrize("query", ["", "   ", "\0\0", "\u202e"])
def test_an_empty_question_finds_nothing(bank: dict[str, FAQ], query: str) -> None:
    found = find_answer(query, visibilities=GUESTS)
    assert (found.matches, found.outside, found.is_below_floor) == ([], 1.0, True)


@pytest.mark.parametrize("query", ["' OR 1=1 --", "card & | ! ( ) : * <->", "%s %(x)s {y}", "🙂", "a" * 5000, "'''\\'"])
def test_odd_questions_do_no_harm(bank: dict[str, FAQ], query: str) -> None:
    assert len(questions(query)) == 3


def test_before_anything_is_embedded_words_find(bank: dict[str, FAQ]) -> None:
    Embedding.objects.all().delete()
    KnowledgeState.objects.update(model=None)
    services.edit_faq(faq=bank["card"], actor=None, answer="At the branch.")
    found = find_answer("transfer to a foreign country", visibilities=GUESTS)
    assert [match.question for match in found.matches] == ["What does a transfer abroad cost?"]
    assert found.vector is None


def test_a_phrasing_without_a_vector_yet_is_found_by_words(bank: dict[str, FAQ]) -> None:
    make_faq("Does the zorblax have a warranty?")
    assert questions("zorblax warranty")[0] == "Does the zorblax have a warranty?"


def test_an_unrelated_question_is_below_the_floor_and_a_fitting_one_above(bank: dict[str, FAQ]) -> None:
    assert find_answer("Who won the football match in 1974?", visibilities=GUESTS).is_below_floor
    assert not find_answer("How can I reset my password?", visibilities=GUESTS).is_below_floor


def test_the_floor_is_a_setting(bank: dict[str, FAQ], settings: Any) -> None:
    settings.FAQ_FLOOR = 0.0
    assert not find_answer("Who won the football match in 1974?", visibilities=GUESTS).is_below_floor
    settings.FAQ_FLOOR = 1.0
    assert find_answer("How can I reset my password?", visibilities=GUESTS).is_below_floor


# --- What must never be found -----------------------------------------------------------------------------------------
ASKED = "How do I order the secret thing?"


def hidden(change: Callable[[FAQ], Any]) -> None:
    faq = make_faq(ASKED, "canary-7731")
    make_faq("Where is the car park?")
    make_index()
    assert questions(ASKED)[0] == ASKED
    change(faq)
    for _ in range(2):
        assert ASKED not in questions(ASKED)
        assert not any("canary" in match.answer for match in search_faqs(ASKED, visibilities=GUESTS, limit=50))


@pytest.mark.parametrize("exact", [True, False])
def test_an_archived_faq_is_gone_at_once(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exact:
        monkeypatch.setattr(retrieval, "FEW_PHRASINGS", 0)
    hidden(lambda faq: services.archive_faqs(faqs=[faq], actor=None))


def test_an_faq_that_became_staffs_is_gone_at_once() -> None:
    hidden(lambda faq: services.edit_faq(faq=faq, actor=None, visibility="staff"))


def test_a_status_that_changed_behind_the_services_counts_all_the_same() -> None:
    hidden(lambda faq: FAQ.objects.filter(pk=faq.pk).update(status="draft"))


@pytest.mark.parametrize(
    "times",
    [
        {"valid_until": timezone.now() - timedelta(seconds=1), "valid_from": timezone.now() - timedelta(days=1)},
        {"valid_from": timezone.now() + timedelta(days=1)},
    ],
)
def test_an_faq_out_of_its_time_is_gone(times: dict[str, Any]) -> None:
    hidden(lambda faq: FAQ.objects.filter(pk=faq.pk).update(**times))


def test_a_draft_is_never_found() -> None:
    make_faq(ASKED, published=False)
    make_faq("Where is the car park?")
    make_index()
    assert questions(ASKED) == ["Where is the car park?"]


def test_each_audience_finds_its_own() -> None:
    for visibility in Visibility:
        make_faq(f"How do I open the {visibility.value} door?", visibility=visibility)
    make_index()
    assert questions("open the door") == ["How do I open the guests door?"]
    assert len(questions("open the door", visibilities=["guests", "users"])) == 2
    assert len(questions("open the door", visibilities=EVERYBODY)) == 3
    assert questions("open the door", visibilities=[]) == []


@pytest.mark.parametrize("exact", [True, False])
def test_the_rare_allowed_one_is_found_among_many_that_are_not(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filters apply before limits: 400 nearer phrasings of staff take no place of the guest's one."""
    if not exact:
        monkeypatch.setattr(retrieval, "FEW_PHRASINGS", 0)
    for part in range(4):
        make_faq(
            f"How do I cancel my order number {part}?",
            phrasings=[f"cancel my order {part} {n}" for n in range(100)],
            visibility="staff",
        )
    make_faq("When does the museum open on Sundays?")
    make_index()
    assert questions("How do I cancel my order?") == ["When does the museum open on Sundays?"]


def test_a_vector_of_another_text_is_ignored(bank: dict[str, FAQ]) -> None:
    """It was made before the phrasing was reworded, and says nothing about it."""
    Embedding.objects.filter(phrasing__faq=bank["card"]).update(text_hash="0" * 64)
    found = {match.question: match.dense for match in search_faqs("My card has not arrived yet", visibilities=GUESTS)}
    assert found.get("Where is my new card?") is None
    assert found["How do I reset my password?"] is not None


# --- Categories, languages --------------------------------------------------------------------------------------------
def test_categories_take_their_subtrees_along() -> None:
    cards = make_category("cards")
    lost = make_category("lost-cards", parent=cards)
    stolen = make_category("stolen-cards", parent=lost)
    other = make_category("loans")
    make_faq("What about a card?", category=cards)
    make_faq("What about a stolen card?", category=stolen)
    make_faq("What about a card loan?", category=other)
    make_faq("What about a card in general?")
    make_index()
    assert set(questions("card", categories=["cards"])) == {"What about a card?", "What about a stolen card?"}
    assert questions("card", categories=[lost.pk]) == ["What about a stolen card?"]
    assert len(questions("card", categories=["stolen-cards", other.pk])) == 2
    assert questions("card", categories=["no-such"]) == []
    assert len(questions("card", categories=[])) == len(questions("card")) == 4


def test_a_category_that_moved_counts_at_its_new_place() -> None:
    from faqs.categories import move_category

    cards, loans = make_category("cards"), make_category("loans")
    child = make_category("child", parent=cards)
    make_faq("What about a card?", category=child)
    make_index()
    assert questions("card", categories=["cards"])
    move_category(category=child, parent=loans, actor=None)
    assert not questions("card", categories=["cards"])
    assert questions("card", categories=["loans"])


@pytest.fixture
def bilingual() -> tuple[FAQ, FAQ]:
    english = make_faq("Where is my invoice?", "Below Invoices.", phrasings=["Rechnung"])
    german = make_faq("Wo finde ich meine Rechnung?", "Unter Rechnungen.", language="de")
    FAQ.objects.filter(pk=german.pk).update(translation_group=english.translation_group)
    make_faq("Wie lange ist die Lieferzeit?", language="de")
    make_index()
    return english, german


def test_the_questions_language_chooses_among_translations(bilingual: tuple[FAQ, FAQ]) -> None:
    found = find_answer("Wo finde ich bitte meine Rechnung?", visibilities=GUESTS)
    assert found.language == "de"
    assert [match.language for match in found.matches] == ["de", "de"]
    assert found.matches[0].answer == "Unter Rechnungen."


def test_the_readers_wish_goes_before_the_questions_language(bilingual: tuple[FAQ, FAQ]) -> None:
    found = find_answer("Wo finde ich bitte meine Rechnung?", visibilities=GUESTS, language="en")
    assert found.language == "en"
    assert found.matches[0].answer == "Below Invoices."


def test_a_translation_stands_in_for_the_faq_that_matched(bilingual: tuple[FAQ, FAQ]) -> None:
    """Only the English one holds the word; the reader of German gets its German translation."""
    german = bilingual[1]
    Phrasing.objects.filter(faq=german).delete()
    match = find_answer("Rechnung", visibilities=GUESTS, language="de").best
    assert match is not None
    assert (match.faq, match.answer) == (german.pk, "Unter Rechnungen.")


def test_a_translation_the_reader_may_not_see_does_not_stand_in(bilingual: tuple[FAQ, FAQ]) -> None:
    english, german = bilingual
    FAQ.objects.filter(pk=german.pk).update(visibility="staff")
    match = find_answer("Rechnung", visibilities=GUESTS, language="de").best
    assert match is not None
    assert match.faq == english.pk


def test_without_an_faq_in_the_language_another_ones_is_found(bank: dict[str, FAQ]) -> None:
    assert questions("password", language="fr")[0] == "How do I reset my password?"


# --- How -----------------------------------------------------------------------------------------------------------
def test_ties_are_the_same_every_time() -> None:
    for category in "abcdef":
        make_faq("What time is it?", category=make_category(category))
    make_index()
    first = [match.faq for match in search_faqs("What time is it?", visibilities=GUESTS, limit=6)]
    assert first == sorted(first)
    assert all(
        [match.faq for match in search_faqs("What time is it?", visibilities=GUESTS, limit=6)] == first
        for _ in range(3)
    )


@pytest.mark.parametrize("exact", [True, False])
def test_a_question_takes_two_queries(
    bank: dict[str, FAQ], exact: bool, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    if not exact:
        for number in range(60):
            make_faq(f"Where is page {number}?", phrasings=[f"page {number}", f"find page {number}"])
        make_index()
        monkeypatch.setattr(retrieval, "FEW_PHRASINGS", 0)
    questions("password")  # learns what there is, and sets the connection up
    with django_assert_num_queries(2):
        assert questions("password")[0] == "How do I reset my password?"


def test_the_index_is_walked_where_there_are_many(walking: None) -> None:
    for number in range(80):
        make_faq(f"Where is room {number}?", phrasings=[f"room {number}", f"way to room {number}"])
    make_index()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE faqs_embedding, faqs_phrasing, faqs_faq")
    assert questions("Where is room 17?")[0] == "Where is room 17?"
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('hnsw.iterative_scan'), current_setting('hnsw.ef_search')")
        assert cursor.fetchone() == ("relaxed_order", "120")


def test_a_walk_that_gives_up_is_made_good_by_an_exact_search(walking: None) -> None:
    for part in range(8):
        make_faq(
            f"How do I cancel my order number {part}?",
            phrasings=[f"cancel my order {part} {n}" for n in range(100)],
            visibility="staff",
        )
    for number in range(60):
        make_faq(f"Where is hall {number}?", phrasings=[f"hall {number}", f"way to hall {number}"])
    make_index()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE faqs_embedding, faqs_phrasing, faqs_faq")
    questions("hall")
    with connection.cursor() as cursor:
        cursor.execute("SET hnsw.max_scan_tuples = 1")
    # A hundred phrasings of 60 FAQs with three each; the walk alone meets 16 before it gives up.
    assert len(questions("How do I cancel my order?", limit=60)) > 30


def test_settings_that_a_connection_lost_are_set_again(walking: None) -> None:
    for number in range(80):
        make_faq(f"Where is room {number}?", phrasings=[f"room {number}", f"way to room {number}"])
    make_index()
    questions("Where is room 17?")
    with connection.cursor() as cursor:
        cursor.execute("RESET hnsw.ef_search")
    assert questions("Where is room 17?")[0] == "Where is room 17?"
    with connection.cursor() as cursor:
        cursor.execute("SHOW hnsw.ef_search")
        assert cursor.fetchone() == (first_stage.WALK["hnsw.ef_search"],)


@pytest.mark.django_db(transaction=True)
def test_behind_a_pooler_the_settings_are_those_of_one_transaction(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_faq("Where is room 17?", phrasings=["room 17"])
    make_index()
    settings.DATABASE_TRANSACTION_POOLER = True
    monkeypatch.setattr(retrieval, "FEW_PHRASINGS", 0)
    in_force: list[bool] = []

    def walked(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        rows = real(sql, parameters)
        in_force.append(rows[0][6])
        return rows

    real = first_stage._walked
    monkeypatch.setattr(first_stage, "_walked", walked)
    with connection.cursor() as cursor:
        cursor.execute("RESET hnsw.ef_search")
        assert questions("Where is room 17?") == ["Where is room 17?"]
        cursor.execute("SHOW hnsw.ef_search")
        assert cursor.fetchone() != (first_stage.WALK["hnsw.ef_search"],)
    assert in_force == [True]


def test_an_embedding_model_that_does_not_answer_leaves_the_words(
    bank: dict[str, FAQ], settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    state = KnowledgeState.objects.select_related("model").get()
    assert state.model is not None
    state.model.name = "nobody/model"
    state.model.save()
    services.edit_faq(faq=bank["fees"], actor=None, answer="Three euros.")
    found: Found = find_answer("transfer abroad", visibilities=GUESTS)
    assert found.vector is None
    assert found.matches[0].question == "What does a transfer abroad cost?"
