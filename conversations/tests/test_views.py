"""The chat's pages and actions, as the owner, another person, a guest and nobody."""

import re
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.tests.factories import make_guest, make_user
from chatbot_project.middleware import CONTENT_SECURITY_POLICY
from conversations import keeping, services
from conversations.models import Conversation, Feedback, Message
from personas.models import Persona

from .factories import ask, end, make_conversation, make_persona

pytestmark = pytest.mark.django_db

NOTICE = "Your e-mail address is not confirmed yet"
ACTIONS = ["rename", "pin", "archive", "delete", "restore", "branch"]


@pytest.fixture
def guest(db: None) -> User:
    return make_guest()


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def path(conversation: Conversation, action: str = "") -> str:
    return f"/c/{conversation.pk}/{action + '/' if action else ''}"


def listed(user: User, **query: str) -> list[str]:
    """The titles in the list, as shown."""
    page = client_of(user).get("/conversations/", query).content.decode()
    return re.findall(r"data-title>([^<]*)<", page)


def titled(user: User, persona: Persona, *titles: str) -> list[Conversation]:
    made = []
    for title in titles:
        conversation = make_conversation(user, persona=persona)
        made.append(keeping.change_conversation(user=user, conversation_id=conversation.pk, title=title))
    return made


# --- pages ----------------------------------------------------------------------------------------------------------


def test_nobody_is_offered_to_sign_in_sign_up_or_try_it(
    client: Client, persona: Persona, settings: LazySettings
) -> None:
    settings.ALLOW_GUESTS = True
    page = client.get("/").content.decode()
    assert f'action="{reverse("accounts:guest")}"' in page
    assert f'href="{reverse("accounts:sign_in")}"' in page
    assert f'href="{reverse("accounts:sign_up")}"' in page
    assert persona.published is not None
    assert persona.published.name in page


def test_nobody_is_not_offered_to_try_it_where_guests_are_not_allowed(client: Client, settings: LazySettings) -> None:
    settings.ALLOW_GUESTS = False
    assert reverse("accounts:guest") not in client.get("/").content.decode()


def test_a_new_chat_offers_the_personas_that_the_person_may_see(guest: User, owner: User) -> None:
    make_persona(slug="open", name="Open to all")
    make_persona(slug="members", name="Members only", visibility="users")
    assert "Members only" not in client_of(guest).get("/").content.decode()
    page = client_of(owner).get("/").content.decode()
    assert "Open to all" in page
    assert "Members only" in page


def test_a_new_chat_shows_the_greeting_and_the_suggestions(owner: User) -> None:
    make_persona(greeting="Well **met**.", suggestions=["What <can> you do?"])
    page = client_of(owner).get("/").content.decode()
    assert "Well <strong>met</strong>." in page
    assert "What &lt;can&gt; you do?" in page


def test_the_persona_named_in_the_address_is_chosen(owner: User) -> None:
    make_persona(slug="first")
    make_persona(slug="second")
    page = client_of(owner).get("/?persona=second").content.decode()
    assert re.search(r'value="second"[^>]*checked', page)
    assert not re.search(r'value="first"[^>]*checked', page)


def test_without_any_persona_the_page_says_so(owner: User) -> None:
    assert "No persona is published yet." in client_of(owner).get("/").content.decode()


def test_owner_reads_the_conversation_with_questions_escaped_and_replies_rendered(
    owner: User, persona: Persona
) -> None:
    accepted = ask(owner, "Is <b>1 < 2</b>?", persona=persona)
    end(accepted.reply, "It **is**. <script>alert(1)</script>")
    page = client_of(owner).get(path(accepted.conversation)).content.decode()
    assert "Is &lt;b&gt;1 &lt; 2&lt;/b&gt;?" in page
    assert "It <strong>is</strong>." in page
    assert "<script>alert(1)" not in page
    assert f'data-message="{accepted.reply.pk}"' in page


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("queued", "Waiting for a free place"),
        ("streaming", "Thinking"),
        ("stopped", "You stopped this reply."),
        ("interrupted", "This reply was interrupted."),
        ("failed", "No reply could be made."),
    ],
)
def test_each_state_of_a_reply_is_said(owner: User, persona: Persona, status: str, words: str) -> None:
    accepted = ask(owner, persona=persona)
    end(accepted.reply, "", status=status)
    assert re.search(rf"data-state-text>{words}", client_of(owner).get(path(accepted.conversation)).content.decode())


def test_other_user_and_guest_cannot_open_a_conversation(
    owner: User, other: User, guest: User, persona: Persona
) -> None:
    conversation = make_conversation(owner, persona=persona)
    absent = path(Conversation(pk=uuid4()))
    for stranger in (other, guest):
        client = client_of(stranger)
        answers = [client.get(url, headers={"accept": "text/html"}) for url in (path(conversation), absent)]
        assert [answer.status_code for answer in answers] == [404, 404]
        present, missing = (re.sub(r'"[A-Za-z0-9]{64}"', "token", answer.content.decode()) for answer in answers)
        assert present == missing


def test_a_deleted_conversation_is_absent(owner: User, persona: Persona) -> None:
    conversation = make_conversation(owner, persona=persona)
    keeping.delete_conversation(user=owner, conversation_id=conversation.pk)
    assert client_of(owner).get(path(conversation)).status_code == 404


def test_a_guest_reads_their_own_conversation(guest: User, persona: Persona) -> None:
    conversation = make_conversation(guest, persona=persona)
    assert client_of(guest).get(path(conversation)).status_code == 200


def test_nobody_is_sent_to_sign_in_and_comes_back(client: Client, owner: User, persona: Persona) -> None:
    conversation = make_conversation(owner, persona=persona)
    answer = client.get(path(conversation))
    assert answer.status_code == 302
    assert answer["Location"].endswith(f"?next=/c/{conversation.pk}/")


def test_scripts_get_the_panel_without_the_page(owner: User, persona: Persona) -> None:
    conversation = make_conversation(owner, persona=persona)
    for url in ("/", path(conversation)):
        answer = client_of(owner).get(url, headers={"x-partial": "1"})
        assert "data-panel" in answer.content.decode()
        assert "<html" not in answer.content.decode()
        assert "X-Partial" in answer["Vary"]


@pytest.mark.parametrize("url", ["/", "/conversations/"])
def test_pages_are_not_cached_and_carry_the_strict_policy(owner: User, persona: Persona, url: str) -> None:
    answer = client_of(owner).get(url)
    assert "no-store" in answer["Cache-Control"]
    assert answer["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


def test_pages_hold_no_inline_script_or_style(owner: User, persona: Persona, client: Client) -> None:
    conversation = make_conversation(owner, persona=persona)
    for page in (client.get("/"), client_of(owner).get("/"), client_of(owner).get(path(conversation))):
        text = page.content.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)", text)
        assert not re.search(r"<style|\sstyle=|\son\w+=", text)
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text)


# --- the list -------------------------------------------------------------------------------------------------------


def test_the_list_has_pinned_ones_first_then_the_newest(owner: User, persona: Persona) -> None:
    first, _second, _third = titled(owner, persona, "first", "second", "third")
    keeping.change_conversation(user=owner, conversation_id=first.pk, pinned=True)
    assert listed(owner) == ["first", "third", "second"]


def test_the_list_is_the_persons_own(owner: User, other: User, persona: Persona) -> None:
    titled(owner, persona, "mine")
    titled(other, persona, "theirs")
    assert listed(owner) == ["mine"]


def test_search_finds_titles_by_all_their_words_in_any_case(owner: User, persona: Persona) -> None:
    titled(owner, persona, "Holiday in Crete", "Crete: a history", "Bread")
    assert listed(owner, q="crete HOLI") == ["Holiday in Crete"]
    assert listed(owner, q="100%_") == []


def test_archived_ones_have_a_list_of_their_own(owner: User, persona: Persona) -> None:
    old, _new = titled(owner, persona, "old", "new")
    keeping.change_conversation(user=owner, conversation_id=old.pk, archived=True)
    assert listed(owner) == ["new"]
    assert listed(owner, archived="1") == ["old"]


def test_paging_shows_each_line_once_also_when_new_ones_arrive(
    owner: User, persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conversations.views.LIST_SIZE", 2)
    made = titled(owner, persona, "a", "b", "c", "d", "e")
    for pinned in made[:3]:
        keeping.change_conversation(user=owner, conversation_id=pinned.pk, pinned=True)
    client, seen, url = client_of(owner), [], "/conversations/"
    while url:
        page = client.get(url).content.decode()
        seen += re.findall(r"data-title>([^<]*)<", page)
        titled(owner, persona, "late")
        more = re.search(r'hx-get="([^"]+)"', page)
        url = more[1].replace("&amp;", "&") if more else ""
    assert [title for title in seen if title != "late"] == ["c", "b", "a", "e", "d"]


@pytest.mark.parametrize("cursor", ["x", "!!!", "MSAyMDI2", "M" * 5000, "é", "MSAyMDI2LTAxLTAxIHg="])
def test_a_made_up_cursor_is_refused(owner: User, cursor: str) -> None:
    answer = client_of(owner).get("/conversations/", {"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


@pytest.mark.parametrize(("url", "budget"), [("/", 8), ("/conversations/?q=que", 8), ("conversation", 10)])
def test_pages_keep_their_query_budget(
    owner: User, persona: Persona, url: str, budget: int, django_assert_max_num_queries: Any
) -> None:
    conversations = [make_conversation(owner, turns=2, persona=persona) for _ in range(4)]
    client = client_of(owner)
    with django_assert_max_num_queries(budget):
        assert client.get(path(conversations[0]) if url == "conversation" else url).status_code == 200


# --- earlier messages -----------------------------------------------------------------------------------------------


def test_earlier_messages_lead_up_to_the_one_named(owner: User, persona: Persona) -> None:
    conversation = make_conversation(owner, turns=3, persona=persona)
    messages = list(Message.objects.filter(conversation=conversation).order_by("created_at"))
    answer = client_of(owner).get(path(conversation, "messages"), {"before": str(messages[4].pk)}).json()
    assert [message["id"] for message in answer["messages"]] == [str(message.pk) for message in messages[:4]]
    assert answer["more"] is False


def test_a_long_conversation_offers_its_earlier_messages(owner: User, persona: Persona) -> None:
    conversation = make_conversation(owner, turns=27, persona=persona)
    page = client_of(owner).get(path(conversation)).content.decode()
    assert page.count('data-message="0') == 50
    assert re.search(r"data-earlier\s*>", page)
    short = client_of(owner).get(path(make_conversation(owner, persona=persona))).content.decode()
    assert re.search(r"data-earlier hidden>", short)


def test_earlier_messages_are_the_owners_alone(owner: User, other: User, client: Client, persona: Persona) -> None:
    conversation = make_conversation(owner, turns=2, persona=persona)
    url = path(conversation, "messages") + f"?before={conversation.active_leaf_id}"
    assert client_of(other).get(url).status_code == 404
    answer = client.get(url, headers={"x-partial": "1"})
    assert (answer.status_code, answer.json()["code"]) == (401, "signed_out")
    assert client_of(owner).get(path(conversation, "messages"), {"before": "nonsense"}).status_code == 404


# --- actions --------------------------------------------------------------------------------------------------------


def test_owner_renames_pins_archives_deletes_and_restores(owner: User, persona: Persona) -> None:
    conversation = make_conversation(owner, persona=persona)
    client = client_of(owner)

    def do(action: str, **fields: object) -> dict[str, Any]:
        answer = client.post(path(conversation, action), fields)
        assert answer.status_code == 200
        info: dict[str, Any] = answer.json()["conversation"]
        return info

    assert do("rename", title="  A <new> title ")["title"] == "A <new> title"
    assert do("pin", on=1)["pinned"] is True
    assert do("pin", on=0)["pinned"] is False
    assert do("archive", on=1)["archived"] is True
    assert do("archive", on=0)["archived"] is False
    assert do("delete")["deleted"] is True
    assert do("restore")["deleted"] is False
    assert listed(owner) == ["A &lt;new&gt; title"]


def test_an_empty_title_is_refused(owner: User, persona: Persona) -> None:
    answer = client_of(owner).post(path(make_conversation(owner, persona=persona), "rename"), {"title": "  "})
    assert (answer.status_code, answer.json()["code"]) == (400, "empty_title")


def test_owner_shows_another_branch(owner: User, persona: Persona) -> None:
    first = ask(owner, persona=persona)
    end(first.reply)
    second = services.regenerate_reply(user=owner, client_id="again", reply_id=first.reply.pk)
    end(second.reply)
    client_of(owner).post(path(first.conversation, "branch"), {"message": str(first.reply.pk)})
    assert Conversation.objects.get(pk=first.conversation.pk).active_leaf_id == first.reply.pk
    page = client_of(owner).get(path(first.conversation)).content.decode()
    assert "data-branch-label>1/2<" in page


def test_a_branch_of_another_conversation_is_absent(owner: User, persona: Persona) -> None:
    conversation, elsewhere = (make_conversation(owner, persona=persona) for _ in range(2))
    answer = client_of(owner).post(path(conversation, "branch"), {"message": str(elsewhere.active_leaf_id)})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("action", ACTIONS)
def test_strangers_change_nothing(
    owner: User, other: User, guest: User, client: Client, persona: Persona, action: str
) -> None:
    conversation = make_conversation(owner, persona=persona)
    fields = {"title": "Mine now", "message": str(conversation.active_leaf_id)}
    before = Conversation.objects.values().get(pk=conversation.pk)
    for stranger in (other, guest):
        answer = client_of(stranger).post(path(conversation, action), fields)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    answer = client.post(path(conversation, action), fields)
    assert (answer.status_code, answer.json()["code"]) == (401, "signed_out")
    assert Conversation.objects.values().get(pk=conversation.pk) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_need_a_post_with_the_token(owner: User, persona: Persona, action: str) -> None:
    conversation = make_conversation(owner, persona=persona)
    assert client_of(owner).get(path(conversation, action)).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner)
    assert strict.post(path(conversation, action), {"title": "x"}).status_code == 403


# --- feedback -------------------------------------------------------------------------------------------------------


def test_owner_gives_feedback_and_takes_it_back(owner: User, persona: Persona) -> None:
    conversation = make_conversation(owner, persona=persona)
    url = f"/m/{conversation.active_leaf_id}/feedback/"
    client = client_of(owner)
    assert client.post(url, {"value": "-1", "comment": "Too long"}).json() == {"value": -1, "comment": "Too long"}
    stored = Feedback.objects.get()
    assert (stored.value, stored.comment) == (-1, "Too long")
    assert re.search(r'data-action="bad" aria-pressed="true"', client.get(path(conversation)).content.decode())
    client.post(url, {"value": "0"})
    assert not Feedback.objects.exists()


@pytest.mark.parametrize("value", ["2", "", "good", "1e9"])
def test_feedback_of_another_value_is_refused(owner: User, persona: Persona, value: str) -> None:
    conversation = make_conversation(owner, persona=persona)
    answer = client_of(owner).post(f"/m/{conversation.active_leaf_id}/feedback/", {"value": value})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_feedback")


def test_feedback_is_the_owners_alone_and_only_on_replies(
    owner: User, other: User, client: Client, persona: Persona
) -> None:
    conversation = make_conversation(owner, persona=persona)
    url = f"/m/{conversation.active_leaf_id}/feedback/"
    assert client_of(other).post(url, {"value": "1"}).status_code == 404
    assert client.post(url, {"value": "1"}).status_code == 401
    question = Message.objects.get(conversation=conversation, role="user")
    assert client_of(owner).post(f"/m/{question.pk}/feedback/", {"value": "1"}).status_code == 404
    assert not Feedback.objects.exists()


# --- the notice of an address that is not confirmed -------------------------------------------------------------------


def test_an_unconfirmed_address_is_noticed_in_the_chat_until_it_is_sent_away(persona: Persona) -> None:
    user = make_user(email_verified_at=None)
    conversation = make_conversation(user, persona=persona)
    here, elsewhere = client_of(user), client_of(user)
    paths = ("/", f"/c/{conversation.pk}/")
    for path in paths:
        assert NOTICE in here.get(path).content.decode()
        assert NOTICE in here.get(path, headers={"X-Partial": "1"}).content.decode()
    here.post("/accounts/confirm/later/")
    for path in paths:
        assert NOTICE not in here.get(path).content.decode()
        assert NOTICE in elsewhere.get(path).content.decode()


def test_whose_address_is_confirmed_and_guests_see_no_notice(owner: User, persona: Persona) -> None:
    for person in (owner, make_guest()):
        assert NOTICE not in client_of(person).get("/").content.decode()
