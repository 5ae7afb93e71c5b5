"""The public help pages: who sees what, and what they show."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import make_admin, make_guest, make_moderator, make_user
from chatbot_project.middleware import CONTENT_SECURITY_POLICY
from faqs import services, views
from faqs.models import FAQ, FAQFeedback
from faqs.tests.factories import make_category, make_faq
from faqs.tests.people import client_of, text_of
from faqs.translations import link_translation

pytestmark = pytest.mark.django_db
HOME = "/help/"
EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">'


@pytest.fixture(autouse=True)
def _no_tries_used_up() -> Iterator[None]:
    yield
    with redis.Redis.from_url(django_settings.REDIS_URL) as client:
        client.flushdb()


def page(faq: FAQ) -> str:
    return f"/help/faq/{faq.pk}/"


# --- who sees what --------------------------------------------------------------------------------------------------
PEOPLE: dict[str, Any] = {
    "anonymous": lambda: None, "guest": make_guest, "user": make_user, "moderator": make_moderator, "admin": make_admin,
}  # fmt: skip
ALLOWED = {
    "guests": set(PEOPLE),
    "users": {"user", "moderator", "admin"},
    "staff": {"moderator", "admin"},
}


@pytest.mark.parametrize("visibility", list(ALLOWED))
@pytest.mark.parametrize("name", list(PEOPLE))
def test_each_audience_finds_its_own_and_nothing_else(name: str, visibility: str) -> None:
    category = make_category("secrets", name="The secret drawer")
    faq = make_faq("Where is the golden key?", "Under the mat.", visibility=visibility, category=category)
    client = client_of(PEOPLE[name]())
    may = name in ALLOWED[visibility]
    assert client.get(page(faq)).status_code == (200 if may else 404)
    assert client.get("/help/category/secrets/").status_code == (200 if may else 404)
    assert client.post(f"{page(faq)}feedback/", {"helpful": "1"}).status_code == (302 if may else 404)
    assert ("secret drawer" in text_of(client, HOME)) is may
    for query in ("golden", "gold", "mat", "where is the golden key"):
        assert (f"/help/faq/{faq.pk}/" in text_of(client, HOME, {"q": query})) is may
    assert FAQFeedback.objects.exists() is may


def hidden_faqs() -> dict[str, FAQ]:
    now = timezone.now()
    archived = make_faq("Golden archived?")
    services.archive_faqs(faqs=[archived], actor=None)
    over = make_faq("Golden over?")
    FAQ.objects.filter(pk=over.pk).update(valid_until=now - timedelta(minutes=1))
    return {
        "draft": make_faq("Golden draft?", published=False),
        "archived": archived,
        "not yet": make_faq("Golden later?", valid_from=now + timedelta(hours=1)),
        "over": over,
    }


def test_what_is_not_in_force_is_absent_even_for_an_admin() -> None:
    hidden = hidden_faqs()
    for client in (client_of(), client_of(make_admin())):
        absent = client.get(f"/help/faq/{uuid4()}/", headers={"accept": "text/html"})
        for name, faq in hidden.items():
            answer = client.get(page(faq), headers={"accept": "text/html"})
            assert answer.status_code == 404, name
            assert without_token(answer) == without_token(absent), name
            assert "This answer is not here any more" in answer.content.decode()
            assert 'name="q"' in answer.content.decode()
        assert "Golden" not in text_of(client, HOME)
        assert "Nothing found" in text_of(client, HOME, {"q": "golden"})


def without_token(answer: Any) -> str:
    lines = answer.content.decode().splitlines()
    return "\n".join(line for line in lines if "csrf" not in line)


def test_guests_may_read_whatever_the_installation_says_of_guests(settings: Any) -> None:
    settings.ALLOW_GUESTS = False
    faq = make_faq("May I read this?")
    assert client_of().get(page(faq)).status_code == 200
    assert "May I read this?" in text_of(client_of(), HOME)


def test_a_translation_of_another_audience_is_not_named() -> None:
    shown = make_faq("Where is it?", language="en")
    hidden = make_faq("Wo ist es?", language="de", visibility="staff")
    link_translation(faq=shown, other=hidden, actor=None)
    assert str(hidden.pk) not in text_of(client_of(), page(shown))
    assert 'hreflang="de"' not in text_of(client_of(), page(shown))
    assert "Also in" not in text_of(client_of(), page(shown))
    assert str(hidden.pk) in text_of(client_of(make_moderator()), page(shown))


def test_other_questions_of_a_category_keep_to_the_audience() -> None:
    category = make_category()
    shown, _other = make_faq("Shown?", category=category), make_faq("Other one?", category=category)
    make_faq("Only for staff?", category=category, visibility="staff")
    text = text_of(client_of(), page(shown))
    assert "Other one?" in text
    assert "Only for staff?" not in text


# --- what is written is inert ---------------------------------------------------------------------------------------
def test_markup_in_questions_answers_tags_and_categories_is_inert(settings: Any) -> None:
    category = make_category("evil", name=f"Cat {EVIL}", description=EVIL)
    answer = f"{EVIL}\n\n![x](https://evil.example/a.png) [j](javascript:alert(3)) [d](data:text/html,x)\n\n[f](//evil)"
    faq = make_faq(f"Quest {EVIL}", answer, category=category, tags=["<b>tag"])
    make_faq("Second?", "x", category=category)
    for address in (HOME, "/help/category/evil/", page(faq), f"{HOME}?q=quest", f"{HOME}?q={EVIL}", f"{HOME}?q=<b>tag"):
        answer = client_of().get(address)
        html = answer.content.decode()
        for harm in ("<script>alert", "<img", "<b>tag", 'href="javascript', 'href="data:', 'href="//'):
            assert harm not in html, (address, harm)
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


def test_an_answer_is_rendered_markdown() -> None:
    faq = make_faq("How?", "Do **this**:\n\n1. one\n2. two\n\n```python\nx = 1\n```\n")
    html = text_of(client_of(), page(faq))
    assert "<strong>this</strong>" in html
    assert "<ol>" in html
    assert 'data-language="python"' in html


# --- categories -----------------------------------------------------------------------------------------------------
def test_categories_are_browsed_down_the_tree() -> None:
    top = make_category("top", name="Top")
    middle = make_category("middle", name="Middle", parent=top)
    low = make_category("low", name="Low", parent=middle)
    make_category("empty", name="Nothing in it", parent=top)
    faq = make_faq("Deep down?", category=low)
    home = text_of(client_of(), HOME)
    assert "Top" in home
    assert "1 answer<" in home
    assert "Deep down?" not in home
    assert "Nothing in it" not in home
    assert "Middle" in text_of(client_of(), "/help/category/top/")
    assert client_of().get("/help/category/empty/").status_code == 404
    assert client_of().get("/help/category/none-such/").status_code == 404
    assert "Deep down?" in text_of(client_of(), "/help/category/low/")
    trail = text_of(client_of(), page(faq)).partition("help-trail")[2].partition("</nav>")[0]
    assert [name in trail for name in ("Top", "Middle", "Low")] == [True] * 3


def test_a_long_category_comes_in_pages() -> None:
    category = make_category("long")
    for number in range(45):
        make_faq(f"Number {number:02}?", category=category)
    first = text_of(client_of(), "/help/category/long/")
    assert first.count('class="help-line"') == 40
    assert "Page 1 of 2" in first
    assert text_of(client_of(), "/help/category/long/?page=2").count('class="help-line"') == 5
    assert "Page 2 of 2" in text_of(client_of(), "/help/category/long/?page=99999999999")
    assert "Page 1 of 2" in text_of(client_of(), "/help/category/long/?page=x")


def test_an_empty_knowledge_says_so() -> None:
    assert "Nothing is here yet" in text_of(client_of(), HOME)


def test_pages_take_few_queries(django_assert_max_num_queries: Any) -> None:
    parent = make_category("wide")
    for number in range(12):
        make_faq(f"Question {number}?", category=make_category(f"child-{number}", parent=parent), tags=["t"])
    faqs = [make_faq(f"Here {number}?", category=parent) for number in range(12)]
    client = client_of(make_user())
    for address, most in ((HOME, 8), ("/help/category/wide/", 8), (page(faqs[0]), 9), (f"{HOME}?q=here", 13)):
        client.get(address)
        with django_assert_max_num_queries(most):
            client.get(address)


# --- languages ------------------------------------------------------------------------------------------------------
@pytest.fixture
def bilingual(db: None) -> tuple[FAQ, FAQ, FAQ]:
    """A question in two languages, linked, and one in German alone."""
    category = make_category("words")
    english = make_faq("How do I pay?", "By card.", category=category, language="en")
    german = make_faq("Wie zahle ich?", "Mit Karte.", category=category, language="de")
    link_translation(faq=english, other=german, actor=None)
    alone = make_faq("Wo ist das Fundbüro?", "Im Keller.", category=category, language="de")
    return english, german, alone


def listed(client: Client, address: str = "/help/category/words/", **headers: str) -> list[str]:
    html = client.get(address, headers=headers).content.decode()
    lines = html.partition("help-lines")[2].partition("</ul>")[0]
    return [re.sub("<[^>]*>", "", line).strip() for line in re.findall(r'dir="auto">(.*?)</a>', lines)]


def test_a_reader_sees_each_question_once_and_their_language_first(bilingual: tuple[FAQ, FAQ, FAQ]) -> None:
    english, german, alone = bilingual
    assert listed(client_of(), accept_language="en") == [english.question, alone.question]
    assert listed(client_of(), accept_language="de-AT,de;q=0.9") == [german.question, alone.question]
    assert listed(client_of(make_user(language="de")), accept_language="en") == [german.question, alone.question]
    assert "1 answer" not in text_of(client_of(), HOME)
    assert "2 answers" in text_of(client_of(), HOME)


def test_what_is_in_another_language_is_marked(bilingual: tuple[FAQ, FAQ, FAQ]) -> None:
    html = text_of(client_of(), "/help/category/words/")
    assert html.count('class="help-language">Deutsch') == 1
    assert f'href="/help/faq/{bilingual[2].pk}/" lang="de"' in html


def choose(client: Client, code: str) -> None:
    client.post("/accounts/language/", {"code": code})


def test_a_chosen_language_comes_first_and_is_forgotten(bilingual: tuple[FAQ, FAQ, FAQ]) -> None:
    client = client_of()
    choose(client, "de")
    assert listed(client, accept_language="en")[0] == bilingual[1].question
    choose(client, "")
    assert listed(client, accept_language="en")[0] == bilingual[0].question


def test_a_persons_choice_holds_in_all_of_their_browsers(bilingual: tuple[FAQ, FAQ, FAQ]) -> None:
    user = make_user()
    here, elsewhere = client_of(user), client_of(user)
    choose(elsewhere, "en")
    choose(here, "de")
    assert listed(elsewhere, accept_language="en")[0] == bilingual[1].question


def test_one_may_read_in_a_language_that_the_pages_do_not_speak(bilingual: tuple[FAQ, FAQ, FAQ]) -> None:
    french = make_faq("Comment payer ?", "Par carte.", category=bilingual[0].category, language="fr")
    link_translation(faq=bilingual[0], other=french, actor=make_admin())
    client = client_of(make_user(language="de"))
    page = text_of(client, "/help/category/words/")
    assert re.search(r'value="fr"[^>]*>Français', page)
    choose(client, "fr")
    assert listed(client)[0] == french.question
    page = text_of(client, "/help/category/words/")
    assert '<html lang="de">' in page
    assert re.findall(r'value="(\w+)" lang="\w+" aria-pressed="true"', page) == ["de", "fr"]  # in the menu; below


@pytest.mark.parametrize("cookie", ["x" * 5000, "\\000", "de';--", "zz"])
def test_a_made_up_language_cookie_does_no_harm(bilingual: tuple[FAQ, FAQ, FAQ], cookie: str) -> None:
    client = client_of()
    client.cookies["nono_language"] = cookie
    assert listed(client, accept_language="en")[0] == bilingual[0].question


def test_a_page_links_its_translations(bilingual: tuple[FAQ, FAQ, FAQ]) -> None:
    english, german, _alone = bilingual
    html = text_of(client_of(), page(english))
    assert f'rel="alternate" hreflang="de" href="/help/faq/{german.pk}/"' in html
    assert f'href="/help/faq/{german.pk}/" hreflang="de" lang="de">Deutsch' in html
    assert '<html lang="en">' in html
    assert f'href="/help/faq/{english.pk}/"' in text_of(client_of(), page(german))


# --- did this help? -------------------------------------------------------------------------------------------------
def say(client: Client, faq: FAQ, helpful: str, comment: str = "", **headers: str) -> Any:
    return client.post(f"{page(faq)}feedback/", {"helpful": helpful, "comment": comment}, headers=headers)


@pytest.mark.parametrize("make", [make_user, make_guest, lambda: None], ids=["user", "guest", "anonymous"])
def test_one_word_each_that_can_be_changed(make: Any) -> None:
    faq = make_faq()
    client = client_of(make())
    assert say(client, faq, "1").url == f"{page(faq)}#feedback"
    assert "Good to know" in text_of(client, page(faq))
    say(client, faq, "0", "Too <short>")
    html = text_of(client, page(faq))
    assert "sorry" in html
    assert "Too &lt;short&gt;" in html
    (stored,) = FAQFeedback.objects.all()
    assert (stored.helpful, stored.comment, stored.version) == (False, "Too <short>", 1)


def test_two_visitors_and_two_people_have_a_word_each() -> None:
    faq = make_faq()
    clients = [client_of(), client_of(), client_of(make_user()), client_of(make_user())]
    for client in clients:
        say(client, faq, "1")
    assert FAQFeedback.objects.count() == 4
    other = make_faq()
    for client in clients:
        assert "Good to know" in text_of(client, page(faq))
        assert "Good to know" not in text_of(client, page(other))
    say(clients[0], faq, "0")
    assert "sorry" in text_of(clients[0], page(faq))
    for client in (client_of(), client_of(make_user()), *clients[1:]):
        assert "sorry" not in text_of(client, page(faq))


def test_a_visitor_is_kept_as_a_hash_alone() -> None:
    client, faq = client_of(), make_faq()
    say(client, faq, "1")
    stored = FAQFeedback.objects.get()
    assert stored.user is None
    assert len(stored.visitor) == 64
    assert client.cookies["sessionid"].value not in stored.visitor


def test_looking_alone_begins_no_session() -> None:
    client = client_of()
    text_of(client, page(make_faq()))
    assert "sessionid" not in client.cookies


def test_a_script_gets_the_part_alone() -> None:
    answer = say(client_of(), make_faq(), "0", x_partial="1")
    html = answer.content.decode()
    assert answer.status_code == 200
    assert "<html" not in html
    assert 'aria-pressed="true"' in html
    assert "What was missing?" in html


@pytest.mark.parametrize("sent", [{}, {"helpful": "2"}, {"helpful": "1", "comment": "x" * 1001}])
def test_what_is_no_word_is_refused(sent: dict[str, str]) -> None:
    answer = client_of().post(f"{page(make_faq())}feedback/", sent)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_feedback")
    assert not FAQFeedback.objects.exists()


def test_feedback_needs_the_page_it_came_from_and_cannot_be_a_link() -> None:
    faq = make_faq()
    strict = client_of(enforce_csrf_checks=True)
    assert say(strict, faq, "1").status_code == 403
    assert strict.get(f"{page(faq)}feedback/").status_code == 405
    assert not FAQFeedback.objects.exists()


def test_feedback_is_limited_per_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "WORD_SECONDS", 600)
    client, faq = client_of(), make_faq()
    answers = [say(client, faq, "1").status_code for _ in range(views.WORDS + 1)]
    assert answers == [302] * views.WORDS + [429]


# --- the way in and back --------------------------------------------------------------------------------------------
def test_help_is_linked_from_the_pages_and_leads_back(db: None) -> None:
    person: User = make_user()
    assert f'href="{HOME}"' in text_of(client_of(), "/")
    assert f'href="{HOME}"' in text_of(client_of(person), "/")
    assert "To the chat" in text_of(client_of(), HOME)
    assert reverse("faqs:home") == HOME
