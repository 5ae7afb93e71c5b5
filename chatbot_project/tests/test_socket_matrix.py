"""Walks the socket's table of access_matrix.py over real sockets of real processes."""

from contextlib import suppress
from typing import Any, get_args
from uuid import uuid4

import pytest
from websockets import ConnectionClosed

from accounts import api_keys, restriction, services, tickets
from accounts.credentials import Credential, Kind
from accounts.models import User
from accounts.scopes import Scope
from accounts.tests.factories import make_admin, make_guest, make_moderator, make_user
from chatbot_project.lib.db import run_db
from chatbot_project.tests.access_matrix import REFUSALS, Absent, CommandRow, Ids, command_rows
from conversations import events
from conversations.models import Message
from conversations.tests.client import ChatClient, session_key
from conversations.tests.factories import ask, end, make_exchange, make_persona
from conversations.tests.stack import Stack
from conversations.tests.test_socket_tickets import ByTicket

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = command_rows()
PEOPLE = {"other": make_user, "guest": make_guest, "moder.": make_moderator, "admin": make_admin}
COMMANDS = {kind.__struct_config__.tag: kind for kind in get_args(events.AnyCommand)}
NAMED = {name for name, kind in COMMANDS.items() if "client_id" in kind.__struct_fields__}
ANSWERS = {"message.accepted", "conversation.snapshot", "error", "pong"}
NAMING = {"client_id", "conversation"}  # by which an error names its command


def test_every_command_has_a_row_and_every_row_a_command() -> None:
    assert sorted(row.name for row in ROWS) == sorted(COMMANDS)


def things_of(owner: User) -> dict[str, str]:
    """Ids of an exchange of ``owner``'s, and of a reply that was stopped."""
    asked = make_exchange(owner)
    stopped = end(ask(owner).reply, "Half", status="stopped")
    return {
        "conversation": str(asked.conversation.pk),
        "question": str(asked.question.pk),
        "reply": str(asked.reply.pk),
        "stopped": str(stopped.pk),
    }


async def first_told(tab: ChatClient, command: dict[str, Any]) -> dict[str, Any]:
    """The first event after the command, but for the list's, which come when they come."""
    before = len(tab.heard)

    def told() -> list[dict[str, Any]]:
        return [event for event in tab.heard[before:] if event["type"] != "conversation.updated"]

    await tab.send(**command)
    await tab.until(told, f"an answer to {command}")
    return told()[0]


async def answer(tab: ChatClient, command: dict[str, Any]) -> dict[str, Any]:
    """What the command is answered with, less what names it; ``-`` for nothing before the answer to a ping."""
    before, is_ping = len(tab.heard), command["type"] == "ping"

    def told() -> list[dict[str, Any]]:
        return [event for event in tab.heard[before:] if event["type"] in ANSWERS]

    await tab.send(**command)
    await tab.send(type="ping")
    await tab.until(lambda: [event["type"] for event in told()].count("pong") == 1 + is_ping, f"pong after {command}")
    first = told()[0] if is_ping or told()[0]["type"] != "pong" else {"type": "-"}
    naming = NAMING if first["type"] == "error" else {"client_id"}
    return {name: value for name, value in first.items() if name not in naming}


def command_of(row: CommandRow, ids: Ids) -> dict[str, Any]:
    named = {"client_id": uuid4().hex} if row.name in NAMED else {}
    return {**row.command(ids), **named}


def expected(outcome: str) -> tuple[str, str]:
    return ("error", REFUSALS[outcome][1]) if outcome in REFUSALS else (outcome, "")


def outcome_of(event: dict[str, Any]) -> tuple[str, str]:
    return event["type"], event.get("code", "")


@pytest.fixture
def owner(db: None) -> User:
    make_persona()
    return make_user()


async def test_the_owner_is_answered_as_the_table_says(live_stack: Stack, owner: User) -> None:
    async with ChatClient(live_stack.url, await run_db(session_key, owner)) as tab:
        told = {row.name: await answer(tab, command_of(row, await run_db(things_of, owner))) for row in ROWS}
    assert {name: outcome_of(event) for name, event in told.items()} == {
        row.name: expected(row.outcomes["owner"]) for row in ROWS
    }


async def test_who_has_paused_processing_is_refused_per_command_on_a_socket_that_stays_and_reads(
    live_stack: Stack,
    owner: User,
) -> None:
    ids = await run_db(things_of, owner)
    program = ByTicket(live_stack.url, await run_db(ticket_of_key, owner, list(Scope)))
    async with ChatClient(live_stack.url, await run_db(session_key, owner)) as tab, program:  # opened before the pause
        await run_db(restriction.restrict, actor=owner, user=owner)
        before = await run_db(lambda: list(Message.objects.order_by("pk").values()))
        for each in (tab, program):
            told = {row.name: await answer(each, command_of(row, ids)) for row in ROWS}
            assert {name: outcome_of(event) for name, event in told.items()} == {
                row.name: expected(row.outcomes["paused"]) for row in ROWS
            }
            assert each.close_code is None
        assert await run_db(lambda: list(Message.objects.order_by("pk").values())) == before
        await run_db(restriction.resume, actor=owner, user=owner)
        again = await answer(tab, command_of(ROWS[0], ids))
    assert again["type"] == "message.accepted"


@pytest.mark.parametrize("caller", PEOPLE)
async def test_others_are_answered_as_the_table_says_and_to_the_letter_as_on_nothing(
    live_stack: Stack,
    owner: User,
    caller: str,
) -> None:
    person = await run_db(PEOPLE[caller])
    ids = await run_db(things_of, owner)
    before = await run_db(lambda: list(Message.objects.order_by("pk").values()))
    async with ChatClient(live_stack.url, await run_db(session_key, person)) as tab:
        for row in ROWS:
            theirs, nothing = [await answer(tab, command_of(row, each)) for each in (ids, Absent(ids))]
            assert outcome_of(theirs) == expected(row.outcomes[caller]), row.name
            assert theirs == nothing, row.name
    assert await run_db(lambda: list(Message.objects.order_by("pk").values())) == before


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_an_api_key_without_the_scope_is_refused(live_stack: Stack, owner: User, row: CommandRow) -> None:
    scopes = [scope for scope in Scope if scope != row.needs]
    ticket = await run_db(ticket_of_key, owner, scopes)
    async with ByTicket(live_stack.url, ticket) as program:
        told = await first_told(program, command_of(row, await run_db(things_of, owner)))
    assert outcome_of(told) == ("error", "scope_missing")


def ticket_of_key(user: User, scopes: list[Scope]) -> str:
    key, _text = api_keys.create_key(user=user, name="x", scopes=scopes)
    return tickets.issue_ticket(user=user, credential=Credential(Kind.API_KEY, str(key.pk), frozenset(scopes)))


@pytest.mark.parametrize("caller", ["nobody", "susp."])
async def test_who_is_not_signed_in_or_suspended_sends_nothing(
    live_stack: Stack,
    owner: User,
    caller: str,
) -> None:
    nobody = caller == "nobody"
    key = "" if nobody else await run_db(session_key, owner)
    made = {row.name: "none" if nobody else await run_db(ticket_of_key, owner, list(Scope)) for row in ROWS}
    ids = await run_db(things_of, owner)
    if not nobody:
        await run_db(services.set_suspended, actor=await run_db(make_admin), user=owner, suspended=True, reason="x")
    before = await run_db(lambda: list(Message.objects.order_by("pk").values()))
    for row in ROWS:
        for tab in (ChatClient(live_stack.url, key), ByTicket(live_stack.url, made[row.name])):
            async with tab:
                with suppress(ConnectionClosed):
                    await tab.send(**command_of(row, ids))
                await tab.until(lambda tab=tab: tab.close_code, "the close")
            assert (str(tab.close_code), tab.heard) == (row.outcomes[caller], []), row.name
    assert await run_db(lambda: list(Message.objects.order_by("pk").values())) == before
