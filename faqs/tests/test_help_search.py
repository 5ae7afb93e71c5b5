"""Search in the help pages: with and without scripts, as somebody types, by meaning, and within its limits."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.test import Client

from faqs import views
from faqs.models import FAQ
from faqs.tests.factories import make_category, make_faq, make_index
from faqs.tests.people import client_of, text_of
from faqs.translations import link_translation
from faqs.word_search import find_by_words, holding_words, sharing_words

pytestmark = pytest.mark.django_db
REDIS_URL = django_settings.REDIS_URL  # as it is before a test changes it


@pytest.fixture(autouse=True)
def _no_tries_used_up() -> Iterator[None]:
    yield
    with redis.Redis.from_url(REDIS_URL) as client:
        client.flushdb()


def found(query: str, client: Client | None = None, address: str = "/help/") -> list[str]:
    """The questions on the page, in their order."""
    html = text_of(client or client_of(), address, {"q": query})
    lines = html.partition("help-lines")[2].partition("</ul>")[0]
    return [re.sub("<[^>]*>", "", line).strip() for line in re.findall(r'dir="auto">(.*?)</a>', lines)]


@pytest.fixture
def knowledge(db: None) -> dict[str, FAQ]:
    pay = make_category("pay", name="Payments")
    return {
        "password": make_faq("How do I change my password?", "In the settings.", phrasings=["I forgot my login"]),
        "refund": make_faq(
            "How long does a refund take?", "Five **working** days.", category=pay, tags=["money"],
            phrasings=["when do I get my money back"],
        ),
        "cancel": make_faq("Cancelling an order", "Write to us.", category=make_category("orders", parent=pay)),
        "german": make_faq("Wie kündige ich mein Abonnement?", "Schriftlich.", language="de"),
    }  # fmt: skip


# --- by words -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("password", "password"),
        ("passw", "password"),  # a beginning
        ("changing passwords", "password"),  # other forms of the words
        ("PASSWORD!?", "password"),
        ("forgot log", "password"),  # another wording
        ("working", "refund"),  # the answer
        ("money", "refund"),  # a tag
        ("cancelli", "cancel"),  # longer than the stem
        ("kündige", "german"),
        ("abonnem", "german"),
    ],
)
def test_words_and_their_beginnings_find(knowledge: dict[str, FAQ], query: str, expected: str) -> None:
    assert found(query)[0] == knowledge[expected].question


@pytest.mark.parametrize(
    "query", ["zzqqxx", "password zzqqxx", "' OR 1=1 --", "zq:* & | !(", "\\", "%", "_", "<->", "(((", "🙂"]
)
def test_what_is_nowhere_is_not_found_and_operators_are_letters(knowledge: dict[str, FAQ], query: str) -> None:
    assert found(query) == []
    assert "Nothing found for" in text_of(client_of(), "/help/", {"q": query})


@pytest.mark.parametrize("query", ["", "  ", "\x00", "\u202e\x0b"])
def test_a_query_of_nothing_browses(knowledge: dict[str, FAQ], query: str) -> None:
    assert 'id="categories-title"' in text_of(client_of(), "/help/", {"q": query})


def test_the_question_counts_for_more_than_the_answer() -> None:
    make_faq("An aside about wombats?", "Nothing.")
    make_faq("Something else?", "It mentions wombats, wombats and wombats.")
    assert found("wombats") == ["An aside about wombats?", "Something else?"]


def test_a_long_query_is_cut_and_answered(knowledge: dict[str, FAQ]) -> None:
    assert client_of().get("/help/", {"q": "password " * 2000}).status_code == 200


def test_the_same_query_finds_the_same_order() -> None:
    for number in range(30):
        make_faq(f"Same words {number % 3}?")
    assert found("same words") == found("same words")
    assert len(found("same words")) == 20


def test_a_category_searches_itself_and_below(knowledge: dict[str, FAQ]) -> None:
    inside = "/help/category/pay/"
    assert found("cancelling", address=inside) == [knowledge["cancel"].question]
    assert found("password", address=inside) == []
    html = text_of(client_of(), inside, {"q": "password"})
    assert '/help/?q=password">Search everywhere' in html


def test_a_translation_is_shown_in_the_readers_language(knowledge: dict[str, FAQ]) -> None:
    other = make_faq("Wie ändere ich mein Passwort?", "Oben.", language="de")
    link_translation(faq=knowledge["password"], other=other, actor=None)
    german = client_of(headers={"accept-language": "de"})
    assert found("password") == [knowledge["password"].question]
    assert found("password", german) == [other.question]
    assert found("passwort", client_of()) == [knowledge["password"].question]


# --- by meaning -----------------------------------------------------------------------------------------------------
def test_what_means_the_same_is_found_without_its_words(knowledge: dict[str, FAQ]) -> None:
    assert found("lost my passcode and cannot sign in") == []
    make_index()
    assert found("lost my passcode and cannot sign in") == [knowledge["password"].question]
    assert found("cooking rice with saffron") == []


def test_meaning_keeps_to_the_audience_and_the_category(knowledge: dict[str, FAQ]) -> None:
    FAQ.objects.filter(pk=knowledge["password"].pk).update(visibility="staff")
    make_index()
    assert found("lost my passcode and cannot sign in") == []
    assert found("lost my passcode and cannot sign in", address="/help/category/pay/") == []


def test_what_others_may_read_takes_no_place_from_what_the_reader_may(knowledge: dict[str, FAQ]) -> None:
    for number in range(8):
        make_faq(f"Lost my passcode and cannot sign in {number}", visibility="staff")
    make_index()
    assert found("my passcode is lost so I cannot sign in") == [knowledge["password"].question]


# --- with scripts and without ---------------------------------------------------------------------------------------
def test_the_form_works_without_a_script(knowledge: dict[str, FAQ]) -> None:
    html = text_of(client_of(), "/help/")
    form = html.partition('<form class="help-search"')[2].partition("</form>")[0]
    assert 'method="get" action="/help/"' in form
    assert 'name="q"' in form
    result = text_of(client_of(), "/help/", {"q": "refund"})
    assert 'value="refund"' in result
    assert "1 answer for “refund”" in result
    assert "<mark>refund</mark>" in result


def test_a_script_gets_the_results_alone_and_caches_tell_them_apart(knowledge: dict[str, FAQ]) -> None:
    answer = client_of().get("/help/", {"q": "refund"}, headers={"x-partial": "1"})
    assert "<html" not in answer.content.decode()
    assert "data-count" in answer.content.decode()
    assert "X-Partial" in answer.headers["Vary"]
    assert "no-store" in answer.headers["Cache-Control"]
    browse = client_of().get("/help/", headers={"x-partial": "1"}).content.decode()
    assert "Payments" in browse


# --- limits ---------------------------------------------------------------------------------------------------------
def test_searching_is_limited_per_address_and_browsing_is_not(
    knowledge: dict[str, FAQ], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "SEARCHES", 3)
    monkeypatch.setattr(views, "SEARCH_SECONDS", 600)
    client, partial = client_of(), {"x-partial": "1"}
    assert [client.get("/help/", {"q": "refund"}, headers=partial).status_code for _ in range(3)] == [200] * 3
    refused = client.get("/help/", {"q": "refund"}, headers=partial)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_tries")
    assert int(refused.headers["Retry-After"]) >= 1
    page = client.get("/help/", {"q": "refund"}, headers={"accept": "text/html"})
    assert page.status_code == 429
    assert "Too many tries" in page.content.decode()
    assert 'value="refund"' in page.content.decode()
    assert client.get("/help/").status_code == 200
    assert client_of(REMOTE_ADDR="10.0.0.9").get("/help/", {"q": "refund"}).status_code == 200


def test_without_redis_words_are_still_found(knowledge: dict[str, FAQ], settings: Any) -> None:
    make_index()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert found("password") == [knowledge["password"].question]
    assert found("lost my passcode and cannot sign in") == []  # nobody computes vectors without a limit


# --- the pieces -----------------------------------------------------------------------------------------------------
def test_the_filter_finds_what_the_search_finds(knowledge: dict[str, FAQ]) -> None:
    faqs = FAQ.objects.all()
    for query in ("passw", "money", "cancelli", "kündige", "forgot log", "the"):
        assert set(find_by_words(faqs, query, limit=50)) == set(holding_words(faqs, query).values_list("pk", flat=True))
    assert holding_words(faqs, " !? ").count() == faqs.count()
    assert find_by_words(faqs, " !? ", limit=5) == []


def test_sharing_any_word_is_enough_for_a_likeness(knowledge: dict[str, FAQ]) -> None:
    shared = sharing_words(FAQ.objects.all(), "refund of a password")
    assert {faq.pk for faq in shared} == {knowledge["password"].pk, knowledge["refund"].pk}
    assert not sharing_words(FAQ.objects.all(), "?").exists()
