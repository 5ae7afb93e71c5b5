"""What the server sends, held against the protocol's own classes and against the AsyncAPI document made of them."""

import json
from functools import lru_cache
from typing import Any, Union

import msgspec
from jsonschema import Draft7Validator, FormatChecker

from conversations import events
from conversations.asyncapi import asyncapi_document

_decode = msgspec.json.Decoder(Union[tuple(events.leaves(events.Event))]).decode  # noqa: UP007  made at run time


def checked_event(frame: str | bytes) -> dict[str, Any]:
    """The event in ``frame`` as JSON; fails where it is none of the protocol's, or has a field that its class lacks."""
    event = json.loads(frame)
    message_validator(event["type"]).validate(event)
    decoded = msgspec.to_builtins(_decode(frame), str_keys=True)
    assert set(event) == set(decoded), ("fields that the protocol does not know", set(event) ^ set(decoded))
    assert _without_times(event) == _without_times(decoded), ("fields that the protocol does not know", event)
    return dict(event)


@lru_cache(maxsize=64)
def message_validator(name: str) -> Draft7Validator:
    """Says whether JSON is the message ``name`` as docs/asyncapi.json has it. Raises KeyError where that has none."""
    components = asyncapi_document()["components"]
    schema = {**components["messages"][name]["payload"], "components": components}
    return Draft7Validator(schema, format_checker=FormatChecker())


def _without_times(value: Any) -> Any:
    """Times may be written in several ways; everything else must come back as it was."""
    if isinstance(value, dict):
        return {key: _without_times(each) for key, each in value.items() if not key.endswith("_at")}
    return [_without_times(each) for each in value] if isinstance(value, list) else value
