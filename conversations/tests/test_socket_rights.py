"""What is another's answers over the socket exactly as what does not exist, changes nothing, and is recorded."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from django.test import Client

from accounts.models import AuditEvent, User
from accounts.tests.factories import make_guest, make_moderator
from chatbot_project.lib.db import run_db
from chatbot_project.lib.errors import NotFound
from conversations import keeping, refusals, services
from conversations.models import Conversation, Message
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer

from .client import ChatClient, session_key
from .factories import make_exchange
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)


async def answer(tab: ChatClient, **command: Any) -> dict[str, Any]:
    """The next event that the command brings, without what names the command."""
    before = len(tab.heard)
    await tab.send(**command)
    await tab.until(lambda: len(tab.heard) > before, f"an answer to {command}")
    event = dict(tab.heard[before])
    if event["type"] == "error":
        has_name = "client_id" in command
        assert event.pop("client_id") == command.get("client_id", "")
        assert event.pop("conversation") == (None if has_name else command.get("conversation"))
    return event


def commands(conversation: str, question: str, reply: str, parent: dict[str, str]) -> list[dict[str, Any]]:
    named = {"client_id": uuid4().hex}
    return [
        {"type": "conversation.follow", "conversation": conversation},
        {"type": "conversation.follow", "conversation": conversation, "cursors": {reply: [1, 0]}},
        {"type": "reply.stop", "reply": reply},
        {"type": "reply.regenerate", "reply": reply, **named},
        {"type": "reply.continue", "reply": reply, **named},
        {"type": "message.edit", "message": question, "text": "mine now", **named},
        {"type": "message.send", "conversation": conversation, "text": "let me in", **named},
        {"type": "message.send", "text": "behind it", "parent": reply, **parent, **named},
    ]


@pytest.mark.parametrize("person", ["user", "guest", "moderator"])
async def test_anothers_object_answers_as_an_absent_one_and_is_recorded_once(
    live_stack: Stack, owner: User, other: User, persona: Persona, fake_model: FakeModelServer, person: str
) -> None:
    make = {"user": lambda: other, "guest": make_guest, "moderator": make_moderator}[person]
    stranger = await run_db(make)
    theirs = await run_db(make_exchange, owner)
    own = await run_db(make_exchange, stranger)
    before = await run_db(lambda: list(Message.objects.filter(owner=owner).order_by("pk").values()))
    mine = {"conversation": str(own.conversation.pk)}
    hidden = commands(str(theirs.conversation.pk), str(theirs.question.pk), str(theirs.reply.pk), mine)
    absent = commands(str(uuid4()), str(uuid4()), str(uuid4()), mine)
    async with ChatClient(live_stack.url, await run_db(session_key, stranger)) as tab:
        for _twice in range(2):
            for first, second in zip(hidden, absent, strict=True):
                answers = await answer(tab, **first), await answer(tab, **second)
                assert answers[0] == answers[1], first
                assert (answers[0]["type"], answers[0]["code"]) == ("error", "not_found"), first
    assert await run_db(lambda: list(Message.objects.filter(owner=owner).order_by("pk").values())) == before
    recorded = await run_db(
        lambda: sorted(
            AuditEvent.objects.filter(action=refusals.ACTION).values_list(
                "actor__person", "action", "object_type", "object_id", "details"
            )
        )
    )
    expected = [theirs.conversation, theirs.question, theirs.reply]
    assert recorded == sorted(
        (stranger.pk, "conversation.refused", obj._meta.label_lower, str(obj.pk), {}) for obj in expected
    )


async def test_a_live_reply_of_another_is_neither_heard_nor_stopped(
    live_stack: Stack, owner: User, other: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    async with (
        ChatClient(live_stack.url, await run_db(session_key, owner)) as tab,
        ChatClient(live_stack.url, await run_db(session_key, other)) as stranger,
    ):
        accepted = await tab.ask("Just between us")
        reply, conversation = accepted["reply"]["id"], accepted["conversation"]["id"]
        await answer(stranger, type="conversation.follow", conversation=conversation, cursors={reply: [0, 0]})
        await answer(stranger, type="reply.stop", reply=reply)
        await stranger.send(type="typing", conversation=conversation)
        assert (await tab.ended(reply)).status == "reply.completed"
        await answer(stranger, type="ping")
        assert {event["type"] for event in stranger.heard} <= {"ready", "error", "pong", "typing.seen"}
        assert "typing.seen" not in {event["type"] for event in tab.heard}


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("", None), ("messages/", None), ("rename/", {"title": "x"}), ("pin/", {}), ("archive/", {}), ("delete/", {}),
        ("restore/", {}), ("branch/", {"message": "x"}),
    ],
)  # fmt: skip
def test_pages_and_actions_record_it_too(
    owner: User, other: User, persona: Persona, action: str, fields: dict[str, str] | None
) -> None:
    theirs = make_exchange(owner)
    browser = Client()
    browser.force_login(other)
    if fields and "message" in fields:
        fields = {"message": str(theirs.reply.pk)}

    def status(pk: object) -> int:
        url = f"/c/{pk}/{action}"
        return (browser.get(url) if fields is None else browser.post(url, fields)).status_code

    assert (status(theirs.conversation.pk), status(uuid4())) == (404, 404)
    refused = AuditEvent.objects.exclude(action="sign_in.succeeded")
    events = set(refused.values_list("actor__person", "action", "object_id"))
    assert (other.pk, refusals.ACTION, str(theirs.conversation.pk)) in events
    assert events <= {(other.pk, refusals.ACTION, str(pk)) for pk in (theirs.conversation.pk, theirs.reply.pk)}


def test_ones_own_deleted_conversation_is_absent_and_not_recorded(owner: User, persona: Persona) -> None:
    own = make_exchange(owner)
    keeping.delete_conversation(user=owner, conversation_id=own.conversation.pk)
    with pytest.raises(NotFound):
        keeping.change_conversation(user=owner, conversation_id=own.conversation.pk, title="x")
    assert not AuditEvent.objects.exists()


def test_at_once_from_many_connections_it_is_recorded_once_and_a_minute_later_again(
    owner: User, other: User, persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = make_exchange(owner)

    def reach(_number: int) -> None:
        try:
            with pytest.raises(NotFound):
                services.request_stop(user=other, reply_id=theirs.reply.pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(reach, range(16)))
    assert AuditEvent.objects.count() == 1
    monkeypatch.setattr(refusals, "ONCE_IN", -refusals.ONCE_IN)
    reach(0)
    assert AuditEvent.objects.count() == 2
    assert Message.objects.get(pk=theirs.reply.pk).status == "completed"
    assert Conversation.objects.get().owner == owner
