"""Conversations over the JSON API: the list, and what is done with one of them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from accounts.models import User
from accounts.tests.api_client import ApiClient, refusal
from conversations import keeping, services
from conversations.models import Conversation, Message
from personas.models import Persona

from .factories import ask, end, make_conversation, make_exchange, make_persona

pytestmark = pytest.mark.django_db
SOME_ID = "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10"


def begin(user: User, title: str = "", **fields: Any) -> Conversation:
    """A conversation without a message."""
    conversation = keeping.create_conversation(user=user, title=title)
    if fields:
        Conversation.objects.filter(pk=conversation.pk).update(**fields)
    return conversation


def titles(client: ApiClient, query: str = "") -> list[str]:
    answer = client.get(f"conversations?{query}")
    assert answer.status_code == 200, answer.content
    return [each["title"] for each in answer.json()["items"]]


@pytest.fixture
def client(owner: User) -> ApiClient:
    return ApiClient.of(owner)


# --- the list


def test_pinned_ones_come_first_then_the_newest_unless_asked_otherwise(client: ApiClient, owner: User, persona) -> None:
    made = [begin(owner, title) for title in "abc"]
    keeping.change_conversation(user=owner, conversation_id=made[0].pk, pinned=True)
    Conversation.objects.filter(pk=made[1].pk).update(updated_at=timezone.now())
    assert titles(client) == titles(client, "ordering=-pinned") == ["a", "b", "c"]
    assert titles(client, "ordering=-updated_at") == ["b", "c", "a"]
    assert titles(client, "ordering=updated_at") == ["a", "c", "b"]
    assert titles(client, "ordering=created_at") == ["a", "b", "c"]
    assert titles(client, "ordering=-created_at") == ["c", "b", "a"]
    assert refusal(client.get("conversations?ordering=owner")) == (400, "invalid")


def test_the_list_is_narrowed_by_archive_persona_and_title(client: ApiClient, owner: User, persona: Persona) -> None:
    support = make_persona(slug="support")
    for title in ("Holiday in Crete", "Crete: a history", "Bread"):
        begin(owner, title)
    make_exchange(owner, "To support", persona=support)
    old = begin(owner, "Old bread")
    keeping.change_conversation(user=owner, conversation_id=old.pk, archived=True)
    assert titles(client, "search=crete+HOLI") == ["Holiday in Crete"]
    assert titles(client, "search=%25") == []
    assert titles(client, "archived=true") == ["Old bread"]
    assert titles(client, "persona=support") == ["To support"]
    assert titles(client, "persona=support&search=bread") == titles(client, "persona=unknown") == []
    assert len(titles(client, "search=")) == 4


def test_the_list_shows_ones_own_and_neither_deleted_ones_nor_those_in_passing(
    client: ApiClient, owner: User, other: User, persona: Persona
) -> None:
    begin(owner, "mine")
    begin(other, "theirs")
    begin(owner, "deleted", deleted_at=timezone.now())
    passing = begin(owner, "in passing", expires_at=timezone.now() + timedelta(days=1))
    begin(owner, "in passing, archived", expires_at=timezone.now(), archived_at=timezone.now())
    assert titles(client) == ["mine"]
    assert titles(client, "archived=true") == []
    shown = client.get(f"conversations/{passing.pk}").json()
    assert shown["title"] == "in passing"
    assert shown["expires_at"]


@pytest.mark.parametrize("ordering", ["-pinned", "-updated_at", "updated_at", "-created_at", "created_at"])
def test_paging_shows_each_once_whatever_is_added_meanwhile(
    client: ApiClient, owner: User, persona: Persona, ordering: str
) -> None:
    made = [begin(owner, title) for title in "abcdefg"]
    for pinned in made[1:4]:
        keeping.change_conversation(user=owner, conversation_id=pinned.pk, pinned=True)
    # Many at the same moment, so that only the id tells them apart.
    Conversation.objects.filter(title__in="bcde").update(updated_at=timezone.now(), created_at=timezone.now())
    whole = titles(client, f"ordering={ordering}")
    seen, cursor = [], ""
    while cursor is not None:
        page = client.get(f"conversations?limit=2&ordering={ordering}&cursor={cursor}").json()
        assert len(page["items"]) <= 2
        seen += [each["title"] for each in page["items"]]
        cursor = page["next"]
        begin(owner, "late")
    assert [title for title in seen if title != "late"] == whole


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "cursor=x", "archived=perhaps", "persona=a%20b", "search=" + "x" * 201]
)
def test_a_list_that_cannot_be_asked_for_is_refused(client: ApiClient, query: str) -> None:
    assert refusal(client.get(f"conversations?{query}")) == (400, "invalid")


def test_a_cursor_of_another_order_is_refused(client: ApiClient, owner: User, persona: Persona) -> None:
    for title in "abc":
        begin(owner, title)
    cursor = client.get("conversations?limit=1").json()["next"]
    assert refusal(client.get(f"conversations?cursor={cursor}&ordering=-updated_at")) == (400, "invalid")


@pytest.mark.parametrize("count", [1, 40])
def test_lists_take_few_queries_whatever_their_length(
    client: ApiClient, owner: User, persona: Persona, count: int, django_assert_max_num_queries: Any
) -> None:
    for _number in range(count):
        make_conversation(owner, turns=1)
    long = make_conversation(owner, turns=count)
    with django_assert_max_num_queries(4):
        assert len(titles(client, "limit=100&search=question&persona=" + persona.slug)) == count + 1
    with django_assert_max_num_queries(7):
        page = client.get(f"conversations/{long.pk}/messages?limit=100&branch={long.active_leaf_id}").json()
    assert len(page["items"]) == 2 * count


# --- beginning one


def test_an_empty_conversation_is_begun_and_listed(client: ApiClient, owner: User, persona: Persona) -> None:
    make_persona(slug="support", name="Support", emoji="🛟")
    answer = client.post(
        "conversations", {"persona": "support", "title": " My\nquestion ", "metadata": {"a.b-C_1": ""}}
    )
    body = answer.json()
    assert answer.status_code == 201
    assert answer["Location"] == f"/api/v1/conversations/{body['id']}"
    assert client.client.get(answer["Location"], headers=client.headers).json() == body
    shown = {name: body[name] for name in ("title", "persona", "persona_name", "persona_emoji", "metadata")}
    assert shown == {
        "title": "My question", "persona": "support", "persona_name": "Support", "persona_emoji": "🛟",
        "metadata": {"a.b-C_1": ""},
    }  # fmt: skip
    assert (body["active_leaf"], body["revision"], body["archived"], body["deleted"]) == (None, 1, False, False)
    assert titles(client) == ["My question"]
    assert client.get(f"conversations/{body['id']}/messages").json() == {"items": [], "next": None}


def test_the_same_key_begins_one(client: ApiClient, owner: User, persona: Persona) -> None:
    first = client.post("conversations", {"title": "x"}, **{"Idempotency-Key": "k1"})
    again = client.post("conversations", {"title": "x"}, **{"Idempotency-Key": "k1"})
    assert (again.status_code, again.json(), again["ETag"]) == (201, first.json(), first["ETag"])
    assert Conversation.objects.count() == 1
    other = client.post("conversations", {"title": "y"}, **{"Idempotency-Key": "k1"})
    assert refusal(other) == (422, "idempotency_key_reused")


def test_a_persona_that_the_person_may_not_see_is_absent(client: ApiClient, persona: Persona) -> None:
    make_persona(slug="for-staff", visibility="staff")
    unpublished = make_persona(slug="draft")
    Persona.objects.filter(pk=unpublished.pk).update(published=None)
    for slug in ("for-staff", "draft", "unknown"):
        assert refusal(client.post("conversations", {"persona": slug})) == (404, "not_found")
    assert not Conversation.objects.exists()


def test_the_first_question_names_an_empty_conversation_that_has_no_title_of_its_own(
    client: ApiClient, owner: User, persona: Persona
) -> None:
    for title, expected in (("", "What is it?"), ("Mine", "Mine")):
        empty = keeping.create_conversation(user=owner, title=title)
        accepted = ask(owner, "What is it?", conversation_id=empty.pk)
        assert (accepted.question.parent, accepted.conversation.title) == (None, expected)
        assert Conversation.objects.get(pk=empty.pk).title == expected
        end(accepted.reply)
        ask(owner, "And then?", conversation_id=empty.pk)
        assert Conversation.objects.get(pk=empty.pk).title == expected


WRONG_METADATA = [
    [], "x", 1, None, {"a": 1}, {"a": None}, {"a": ["x"]}, {"": "x"}, {"ä": "x"}, {"a b": "x"}, {"a\n": "x"},
    {"x" * 65: "x"}, {"a": "x" * 513}, {str(number): "x" for number in range(17)},
]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        [], "x", 1, {"persona": 1.5}, {"persona": "a b"}, {"persona": "x" * 65}, {"persona": ["a"]}, {"title": ""},
        {"title": "  "}, {"title": "x" * 121}, {"title": None}, {"title": {}}, {"title": "\u202e"},
        *({"metadata": wrong} for wrong in WRONG_METADATA),
    ],
)  # fmt: skip
def test_a_conversation_that_cannot_be_is_not_begun(client: ApiClient, persona: Persona, body: Any) -> None:
    assert client.post("conversations", body).status_code == 400
    assert not Conversation.objects.exists()


# --- one of them


def test_what_is_known_is_not_sent_again(client: ApiClient, owner: User, persona: Persona) -> None:
    made = make_conversation(owner)
    first = client.get(f"conversations/{made.pk}")
    same = client.get(f"conversations/{made.pk}", **{"If-None-Match": first["ETag"]})
    assert (same.status_code, same.content, same["ETag"]) == (304, b"", first["ETag"])
    keeping.change_conversation(user=owner, conversation_id=made.pk, title="New")
    assert client.get(f"conversations/{made.pk}", **{"If-None-Match": first["ETag"]}).json()["title"] == "New"


def test_a_patch_sets_what_it_names(client: ApiClient, owner: User, persona: Persona) -> None:
    made = make_conversation(owner)
    changes: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"title": "  Mine\n"}, {"title": "Mine"}),
        ({"pinned": True, "archived": True}, {"pinned": True, "archived": True}),
        ({"metadata": {"a": "1", "b": "x\u202ey"}}, {"metadata": {"a": "1", "b": "xy"}}),
        ({"metadata": {"c": "1"}}, {"metadata": {"c": "1"}}),
        ({"metadata": {}, "archived": False}, {"metadata": {}, "archived": False}),
    ]
    shown = client.get(f"conversations/{made.pk}").json()
    for body, expected in changes:
        answer = client.patch(f"conversations/{made.pk}", body)
        shown = {**shown, **expected, "revision": shown["revision"] + 1}
        assert answer.json() == shown == client.get(f"conversations/{made.pk}").json()
    assert Conversation.objects.get().title_source == "person"


def test_what_changes_nothing_leaves_the_state_as_it_is(client: ApiClient, owner: User, persona: Persona) -> None:
    made = make_conversation(owner)
    before = client.get(f"conversations/{made.pk}")
    whole = {name: before.json()[name] for name in ("title", "pinned", "archived", "metadata")}
    for answer in (client.call("put", f"conversations/{made.pk}", whole), client.patch(f"conversations/{made.pk}", {})):
        assert (answer.json(), answer["ETag"]) == (before.json(), before["ETag"])


def test_a_put_names_the_whole(client: ApiClient, owner: User, persona: Persona) -> None:
    made = make_conversation(owner)
    whole = {"title": "x", "pinned": True, "archived": True, "metadata": {"a": "b"}}
    for missing in whole:
        body = {name: value for name, value in whole.items() if name != missing}
        answer = client.call("put", f"conversations/{made.pk}", body)
        assert refusal(answer) == (400, "invalid")
        assert set(answer.json()["fields"]) == {missing}
    answer = client.call("put", f"conversations/{made.pk}", whole).json()
    assert {name: answer[name] for name in whole} == whole


@pytest.mark.parametrize(
    "body",
    [
        [], "x", 1, {"title": ""}, {"title": "x" * 121}, {"title": "\u202e "}, {"pinned": "x"}, {"pinned": None},
        {"archived": []}, *({"metadata": wrong} for wrong in WRONG_METADATA),
    ],
)  # fmt: skip
def test_a_change_that_cannot_be_is_refused(client: ApiClient, owner: User, persona: Persona, body: Any) -> None:
    made = make_conversation(owner)
    before = Conversation.objects.values().get()
    assert client.patch(f"conversations/{made.pk}", body).status_code == 400
    assert Conversation.objects.values().get() == before


def test_nothing_else_can_be_set(client: ApiClient, owner: User, other: User, persona: Persona) -> None:
    made = make_conversation(owner)
    body = {"owner": str(other.pk), "revision": 99, "deleted": True, "id": SOME_ID, "expires_at": None, "persona": "x"}
    before = Conversation.objects.values().get()
    assert client.patch(f"conversations/{made.pk}", body).status_code == 200
    assert Conversation.objects.values().get() == before


@pytest.mark.parametrize("call", ["put", "patch", "delete"])
def test_a_change_of_another_state_is_refused(client: ApiClient, owner: User, persona: Persona, call: str) -> None:
    made = make_conversation(owner)
    old = client.get(f"conversations/{made.pk}")["ETag"]
    keeping.change_conversation(user=owner, conversation_id=made.pk, pinned=True)
    before = Conversation.objects.values().get()
    body = None if call == "delete" else {"title": "x", "pinned": False, "archived": False, "metadata": {}}
    answer = client.call(call, f"conversations/{made.pk}", body, **{"If-Match": old})
    assert refusal(answer) == (412, "precondition_failed")
    assert Conversation.objects.values().get() == before
    current = client.get(f"conversations/{made.pk}")["ETag"]
    answer = client.call(call, f"conversations/{made.pk}", body, **{"If-Match": f'"other", {current}'})
    assert answer.status_code in (200, 204)


@pytest.mark.django_db(transaction=True)
def test_of_two_changes_at_once_of_the_same_state_one_is_made(owner: User, persona: Persona) -> None:
    made = make_conversation(owner)
    etag = ApiClient.of(owner).get(f"conversations/{made.pk}")["ETag"]
    clients = [ApiClient.of(owner) for _number in range(8)]
    together = Barrier(len(clients))

    def change(number: int) -> int:
        together.wait()
        try:
            body = {"title": f"Title {number}"}
            return clients[number].patch(f"conversations/{made.pk}", body, **{"If-Match": etag}).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(clients)) as threads:
        statuses = list(threads.map(change, range(len(clients))))
    assert sorted(statuses) == [200] + [412] * 7
    assert Conversation.objects.get().title == f"Title {statuses.index(200)}"


# --- deleting


def test_a_deleted_one_is_absent_until_it_is_restored(client: ApiClient, owner: User, persona: Persona) -> None:
    live = ask(owner)
    path = f"conversations/{live.conversation.pk}"
    assert client.delete(path).status_code == 204
    assert Message.objects.get(pk=live.reply.pk).status == "stopped"
    for absent in (client.get(path), client.delete(path), client.get(f"{path}/messages"),
                   client.get(f"messages/{live.reply.pk}"), client.patch(path, {"title": "x"})):  # fmt: skip
        assert refusal(absent) == (404, "not_found")
    assert titles(client) == []
    restored = client.post(f"{path}/restore")
    assert (restored.status_code, restored.json()["deleted"]) == (200, False)
    assert client.get(path).json() == restored.json() == client.post(f"{path}/restore").json()


def test_clearing_deletes_all_of_ones_own_and_stops_what_is_under_way(
    client: ApiClient, owner: User, other: User, persona: Persona
) -> None:
    queued, streaming, theirs = ask(owner), ask(owner), ask(other)
    Message.objects.filter(pk=streaming.reply.pk).update(status="streaming", epoch=1)
    begin(owner, "in passing", expires_at=timezone.now() + timedelta(days=1))
    assert client.post("conversations/clear").json() == {"deleted": 3}
    assert titles(client) == []
    states = {reply.pk: (reply.status, reply.stop_requested) for reply in Message.objects.replies()}
    assert states == {
        queued.reply.pk: ("stopped", True), streaming.reply.pk: ("streaming", True), theirs.reply.pk: ("queued", False)
    }  # fmt: skip
    assert client.post("conversations/clear").json() == {"deleted": 0}
    assert client.post(f"conversations/{queued.conversation.pk}/restore").json()["revision"] == 3


def test_clearing_may_take_the_archive_alone(client: ApiClient, owner: User, persona: Persona) -> None:
    begin(owner, "kept")
    begin(owner, "archived", archived_at=timezone.now())
    assert client.post("conversations/clear", {"archived": True}).json() == {"deleted": 1}
    assert titles(client) == ["kept"]


@pytest.mark.parametrize("body", [[], "x", {"archived": "x"}, {"archived": None}, {"archived": {}}])
def test_what_to_clear_must_be_clear(client: ApiClient, owner: User, persona: Persona, body: Any) -> None:
    begin(owner, "kept")
    assert client.post("conversations/clear", body).status_code == 400
    assert titles(client) == ["kept"]


def test_clearing_takes_few_statements(
    client: ApiClient, owner: User, persona: Persona, django_assert_max_num_queries: Any
) -> None:
    for _number in range(30):
        begin(owner)
    for _number in range(5):
        ask(owner)
    with django_assert_max_num_queries(8):
        assert client.post("conversations/clear").json() == {"deleted": 35}


# --- branches


def test_another_branch_is_shown(client: ApiClient, owner: User, persona: Persona) -> None:
    first = make_exchange(owner, "One", "1")
    edited = services.edit_message(user=owner, client_id="e", message_id=first.question.pk, text="Two")
    end(edited.reply, "2")
    path = f"conversations/{first.conversation.pk}"
    answer = client.post(f"{path}/select-branch", {"message": str(first.question.pk)})
    assert answer.json()["active_leaf"] == str(first.reply.pk)
    assert answer["ETag"] == client.get(path)["ETag"]
    assert [each["text"] for each in client.get(f"{path}/messages").json()["items"]] == ["1", "One"]


@pytest.mark.parametrize("body", [{}, [], {"message": None}, {"message": "x"}])
def test_a_branch_must_be_named(client: ApiClient, owner: User, persona: Persona, body: Any) -> None:
    made = make_conversation(owner)
    assert refusal(client.post(f"conversations/{made.pk}/select-branch", body)) == (400, "invalid")
