"""The protocol's classes: what is decoded, what is refused, and the page that is made of them."""

import json
from uuid import UUID, uuid4

import msgspec
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import ValidationError

from conversations import events
from conversations.management.commands import protocol_docs

from .frames import checked_event

SEND = {"type": "message.send", "client_id": "a1", "text": "Hello"}


def frame(**changes: object) -> str:
    return json.dumps({key: value for key, value in {**SEND, **changes}.items() if value is not ...})


def test_a_command_is_decoded_with_its_defaults() -> None:
    assert events.decode_command(frame()) == events.MessageSend(client_id="a1", text="Hello")


IDS = [str(UUID(int=number)) for number in range(201)]
BAD_FRAMES = [
    "", "null", "[]", "1", '"message.send"', "{", "{}", '{"type":null}', '{"type":"nothing"}', '{"type":"Ping"}',
    '{"type":"ready"}', '{"type":"websocket.disconnect"}', '{"type":"frame.push","frame":"x"}',
    '{"type":"signed.out"}', '{"type":"ping","extra":1}', '{"type":"ping"} x', "NaN", '{"type":NaN}',
    frame(text=...), frame(text=""), frame(text="x" * 16_001), frame(text=1), frame(text=None),
    frame(client_id=...), frame(client_id=""), frame(client_id="x" * 65), frame(client_id="a b"),
    frame(client_id="a\n"), frame(client_id="ü"), frame(conversation="x"), frame(conversation=1),
    frame(persona="x" * 65), frame(owner="me"), frame(role="system"), frame(type="message.accepted"),
    '{"type":"conversation.follow","conversation":1e999}', "[" * 100_000, '{"a":' * 100_000,
    '{"type":"conversation.follow","conversation":' + "9" * 5000 + "}",
    json.dumps({"type": "conversation.follow", "conversation": IDS[1], "cursors": {"x": [1, 2]}}),
    json.dumps({"type": "conversation.follow", "conversation": IDS[2], "cursors": {IDS[3]: [1]}}),
    json.dumps({"type": "conversation.follow", "conversation": IDS[4], "cursors": {IDS[5]: [1, 2.5]}}),
    json.dumps(
        {"type": "conversation.follow", "conversation": IDS[6],
         "cursors": {each: [1, 2] for each in IDS}}
    ),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_FRAMES)
def test_what_is_no_command_is_refused_with_a_sentence(bad: str) -> None:
    with pytest.raises(ValueError) as refused:
        events.decode_command(bad)
    assert 0 < len(str(refused.value)) <= 300
    assert type(refused.value) is ValueError


@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_any_text_is_a_command_or_a_value_error(text: str) -> None:
    outcome: object
    try:
        outcome = events.decode_command(text)
    except Exception as error:
        outcome = error
    assert isinstance(outcome, events.Command) or type(outcome) is ValueError


def test_a_cursor_may_be_any_integer() -> None:
    reply = uuid4()
    command = events.decode_command(
        json.dumps({"type": "conversation.follow", "conversation": str(uuid4()), "cursors": {str(reply): [-1, 2**63]}})
    )
    assert command.cursors[reply] == (-1, 2**63)


def test_every_event_and_command_has_its_own_name_and_says_what_it_is() -> None:
    kinds = [*events.leaves(events.Command), *events.leaves(events.Event)]
    names = [msgspec.inspect.type_info(kind).tag for kind in kinds]
    assert len(set(names)) == len(names) == 9 + 18
    assert all(kind.__doc__ for kind in kinds)
    assert {"message.send", "reply.delta", "server.draining"} <= set(names)


def test_an_event_with_a_field_of_no_class_is_noticed() -> None:
    good = events.encode(events.Error(code="x", detail="y"))
    assert checked_event(good)["client_id"] == ""
    with pytest.raises(AssertionError):
        checked_event(good[:-1] + b',"secret":1}')
    with pytest.raises(ValidationError):
        checked_event(b'{"type":"reply.delta","text":"x"}')


def test_the_page_about_the_protocol_is_up_to_date() -> None:
    call_command("protocol_docs", "--check")


def test_a_page_that_is_out_of_date_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_docs, "HEAD", "# Another page\n\n")
    with pytest.raises(CommandError, match="out of date"):
        call_command("protocol_docs", "--check")


def test_the_page_names_every_field_type_and_close_code() -> None:
    page = protocol_docs.protocol_page()
    expected = [
        "`reply.snapshot`", "| `cursors` | object: UUID → [integer, integer] | `{}` |", "| 4429 |", "| 1012 |",
        "list of [RenderedBlock](#renderedblock)", "### `MessageInfo`",
    ]  # fmt: skip
    assert [words for words in expected if words not in page] == []
