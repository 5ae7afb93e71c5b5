"""What a chat completion request may hold: read strictly, refused by name, ignored on purpose."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_project.lib.api.errors import InvalidInput
from chatbot_project.lib.errors import ApplicationError
from conversations.events import MAX_TEXT
from conversations.openai_api.requests import MAX_CHARACTERS, MAX_MESSAGES, asking_of, read_request
from conversations.replies.prompt import Turn

USER = {"role": "user", "content": "Hi"}
PLAIN: dict[str, Any] = {"model": "persona:helper", "messages": [USER]}


def refused(**changes: Any) -> tuple[str, str]:
    """The parameter that is named and the code."""
    with pytest.raises(InvalidInput) as found:
        asking_of(read_request({**PLAIN, **changes}))
    assert found.value.status == 400
    ((param, sentences),) = found.value.fields.items()
    assert all(sentences)
    return param, found.value.code


def message(**fields: Any) -> list[Mapping[str, Any]]:
    return [{**USER, **fields}]


def test_a_plain_request() -> None:
    wanted = read_request(PLAIN)
    assert (wanted.persona_slug, bool(wanted.stream), wanted.wants_usage) == ("helper", False, False)
    asking = asking_of(wanted)
    assert (asking.question, list(asking.history), asking.instructions, asking.max_tokens) == ("Hi", [], "", None)
    assert (asking.metadata, asking.store) == ({}, False)


@pytest.mark.parametrize("model", ["helper", "gpt-4o", "", "Persona:helper", "persona:"])
def test_a_name_that_is_no_personas_is_no_model(model: str) -> None:
    assert read_request({**PLAIN, "model": model}).persona_slug == ""


def test_who_said_what_becomes_questions_and_replies_in_turn() -> None:
    messages = [
        {"role": "developer", "content": "Rhyme."},
        {"role": "user", "content": "One"},
        {"role": "user", "content": [{"type": "text", "text": "T"}, {"type": "text", "text": "wo"}]},
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": "Three", "name": "x", "refusal": None, "tool_calls": []},
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "  "},
        {"role": "user", "content": "Four?"},
        {"role": "system", "content": ""},
    ]
    asking = asking_of(read_request({**PLAIN, "messages": messages}))
    assert list(asking.history) == [Turn("user", "One\n\nTwo"), Turn("assistant", "Three")]
    assert asking.question == "Four?"
    assert asking.instructions == "Rhyme.\n\nBe brief."


ROLES = st.sampled_from(["system", "developer", "user", "assistant"])
TEXTS = st.text(st.characters(exclude_characters="\n"), max_size=4)
CONTENTS = st.none() | TEXTS | st.lists(TEXTS.map(lambda text: {"type": "text", "text": text}))


@given(st.lists(st.fixed_dictionaries({"role": ROLES, "content": CONTENTS}), min_size=1, max_size=12))
def test_whatever_is_told_questions_and_replies_alternate_and_nothing_is_lost(messages: list[dict[str, Any]]) -> None:
    said = [m for m in read_request({**PLAIN, "messages": messages}).messages if m.text.strip()]
    talk = [m for m in said if m.role in ("user", "assistant")]
    if not talk or talk[-1].role != "user":
        assert refused(messages=messages) == ("messages", "invalid")
        return
    asking = asking_of(read_request({**PLAIN, "messages": messages}))
    turns = [*asking.history, Turn("user", asking.question)]
    assert all(one.role != following.role for one, following in pairwise(turns))
    assert all(turn.text.strip() for turn in turns)
    assert "".join(m.text for m in talk) == "".join(turn.text for turn in turns).replace("\n\n", "")


def test_the_lower_of_two_bounds_holds() -> None:
    for changes, expected in (
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 9, "max_completion_tokens": 7}, 7),
        ({"max_tokens": None}, None),
    ):
        assert asking_of(read_request({**PLAIN, **changes})).max_tokens == expected


HARMLESS: dict[str, Any] = {
    "temperature": 1, "top_p": 0.5, "presence_penalty": -2, "frequency_penalty": 2.0, "seed": 7, "user": "someone",
    "n": 1, "stop": None, "tools": [], "tool_choice": "auto", "functions": None, "logprobs": False, "top_logprobs": 0,
    "logit_bias": {}, "response_format": {"type": "text"}, "modalities": ["text"], "parallel_tool_calls": True,
    "service_tier": "auto", "reasoning_effort": "low", "stream_options": {"include_usage": True}, "chat_id": "1",
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_no_harm_is_taken(name: str) -> None:
    assert asking_of(read_request({**PLAIN, name: HARMLESS[name]})).question == "Hi"
    assert asking_of(read_request({**PLAIN, name: None})).question == "Hi"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tools": {}}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"n": 2}, "n"),
        ({"n": 0}, "n"),
        ({"stop": ["\n"]}, "stop"),
        ({"stop": "END"}, "stop"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        ({"response_format": "json"}, "response_format"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "alloy"}}, "audio"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"messages": message(role="tool", tool_call_id="1")}, "messages[0].role"),
        ({"messages": message(role="function", name="f")}, "messages[0].role"),
        ({"messages": message(tool_calls=[{"id": "1"}])}, "messages[0].tool_calls"),
        ({"messages": message(content=[{"type": "image_url", "image_url": {}}])}, "messages[0].content[0].type"),
        (
            {"messages": message(content=[{"type": "text", "text": "a"}, {"type": "input_audio"}])},
            "messages[0].content[1].type",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(changes: dict[str, Any], param: str) -> None:
    assert refused(**changes) == (param, "unsupported_parameter")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"model": "x" * 201}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": [USER] * (MAX_MESSAGES + 1)}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"content": "Hi"}]}, "messages[0]"),
        ({"messages": message(role="owner")}, "messages[0].role"),
        ({"messages": message(role=["user"])}, "messages[0].role"),
        ({"messages": message(content=7)}, "messages[0].content"),
        ({"messages": message(content=[{"type": "text"}])}, "messages[0].content[0]"),
        ({"messages": message(content=[{"text": "a"}])}, "messages[0].content[0]"),
        ({"messages": message(content=["a"])}, "messages[0].content[0]"),
        ({"messages": message(content=" \n")}, "messages"),
        ({"messages": message(role="assistant")}, "messages"),
        ({"messages": message(role="system")}, "messages"),
        ({"messages": [USER, {"role": "assistant", "content": "Ho"}]}, "messages"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2**31}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"metadata": {"k": 5}}, "metadata[...]"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata[...]"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"store": "yes"}, "store"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(changes: dict[str, Any], param: str) -> None:
    assert refused(**changes) == (param, "invalid")


def test_what_is_left_out_is_named() -> None:
    for data, said in (({}, "model"), ({"model": "persona:x"}, "messages")):
        with pytest.raises(InvalidInput) as found:
            read_request(data)
        assert said in found.value.fields["body"][0]


def test_no_more_is_read_than_anybody_may_say() -> None:
    longest = "x" * MAX_TEXT
    assert asking_of(read_request({**PLAIN, "messages": message(content=longest)})).question == longest
    assert refused(messages=message(content=longest + "x")) == ("messages", "context_length_exceeded")
    told = [{"role": "assistant", "content": "y" * (MAX_CHARACTERS - 2)}, USER]
    assert asking_of(read_request({**PLAIN, "messages": told})).question == "Hi"
    told[0]["content"] += "y"
    assert refused(messages=told) == ("messages", "context_length_exceeded")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from([*HARMLESS, "model", "messages", "stream", "metadata", "max_tokens", "store"])


@given(JSON | st.dictionaries(FIELDS, JSON) | st.dictionaries(FIELDS, JSON).map(lambda more: {**PLAIN, **more}))
def test_nothing_raises_anything_but_a_refusal(data: Any) -> None:
    refusal = None
    try:
        asking_of(read_request(data))
    except ApplicationError as error:
        refusal = error.status
    assert refusal in (None, 400)
