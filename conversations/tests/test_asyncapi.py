"""The AsyncAPI document: valid by the official schema, whole, and saying what the server really takes and sends."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client
from jsonschema import Draft7Validator, ValidationError

from conversations import asyncapi, events
from conversations.asyncapi import asyncapi_document

from .frames import checked_event, message_validator
from .test_events import BAD_FRAMES, frame

SPECS = "@asyncapi/specs@6.11.1"  # the schemas that AsyncAPI's own parser goes by
DOCUMENT = asyncapi_document()
COMMANDS, EVENTS = events.leaves(events.Command), events.leaves(events.Event)


@pytest.fixture(scope="session")
def official_schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """AsyncAPI 3.0's JSON Schema, from the npm package in which its makers publish it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, which fetches the official schema")
    directory = tmp_path_factory.mktemp("asyncapi")
    options = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"]
    options += ["--fetch-retries=1", "--fetch-timeout=30000"]
    command = [npm, "install", "--silent", *options, "--prefix", str(directory), SPECS]
    try:
        subprocess.run(command, capture_output=True, timeout=120, check=True)
    except subprocess.SubprocessError:
        pytest.skip(f"npm could not fetch {SPECS}")
    return dict(json.loads((directory / "node_modules/@asyncapi/specs/schemas/3.0.0.json").read_text()))


def test_the_official_schema_finds_nothing_wrong(official_schema: dict[str, Any]) -> None:
    validator = Draft7Validator(official_schema)
    for document in (DOCUMENT, asyncapi_document("127.0.0.1:8000", secure=False)):
        assert [error.message for error in validator.iter_errors(document)] == []
    broken = json.loads(json.dumps(DOCUMENT))
    broken["operations"]["ping"]["action"] = "shout"
    assert not validator.is_valid(broken)


def walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for each in node.values():
            yield from walk(each)
    elif isinstance(node, list):
        for each in node:
            yield from walk(each)


def test_every_reference_leads_somewhere() -> None:
    references = {node["$ref"] for node in walk(DOCUMENT) if isinstance(node.get("$ref"), str)}
    assert len(references) > 50
    for reference in references:
        node: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_every_command_is_an_operation_and_every_event_is_sent() -> None:
    sent = {each["$ref"].rpartition("/")[2] for each in DOCUMENT["operations"]["events"]["messages"]}
    received = {
        each["$ref"].rpartition("/")[2]
        for operation in DOCUMENT["operations"].values()
        if operation["action"] == "receive"
        for each in operation["messages"]
    }
    assert received == {kind.__struct_config__.tag for kind in COMMANDS}
    assert sent == {kind.__struct_config__.tag for kind in EVENTS}
    assert set(DOCUMENT["channels"]["chat"]["messages"]) == sent | received


def test_every_message_has_a_valid_schema_and_examples_that_it_and_the_classes_accept() -> None:
    messages = DOCUMENT["components"]["messages"]
    for name, message in messages.items():
        validator = message_validator(name)
        Draft7Validator.check_schema(validator.schema)
        payloads = [example["payload"] for example in message["examples"]]
        assert payloads, name
        for payload in payloads:
            validator.validate(payload)
            if name in DOCUMENT["channels"]["chat"]["messages"] and name in {k.__struct_config__.tag for k in EVENTS}:
                checked_event(json.dumps(payload))
            else:
                events.decode_command(json.dumps(payload))


def test_no_keyword_of_a_later_draft_is_left() -> None:
    nodes = list(walk(DOCUMENT["components"]["schemas"]))
    assert not [node for node in nodes if {"prefixItems", "$defs", "unevaluatedProperties"} & set(node)]
    assert not [node for node in nodes if isinstance(node.get("pattern"), str) and "\\Z" in node["pattern"]]


def schema_takes(text: str) -> bool:
    try:
        command = json.loads(text)
        message_validator(command["type"]).validate(command)
    except (ValueError, TypeError, KeyError, RecursionError, ValidationError):
        return False
    return True


@pytest.mark.parametrize("bad", [bad for bad in BAD_FRAMES if r"a\n" not in bad])  # Python's $ stands before a last \n
def test_what_the_server_refuses_the_schema_refuses(bad: str) -> None:
    assert not schema_takes(bad) or json.loads(bad)["type"] in {kind.__struct_config__.tag for kind in EVENTS}


def test_what_the_server_takes_the_schema_takes() -> None:
    some = "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10"
    follow = {"type": "conversation.follow", "conversation": some, "cursors": {some: [-1, 2**63]}}
    for good in (frame(), frame(text="x" * 16_000), frame(conversation=some, parent=None), json.dumps(follow)):
        events.decode_command(good)
        assert schema_takes(good)


def test_an_event_that_lacks_a_field_is_noticed() -> None:
    whole = json.loads(events.encode(events.Error(code="x", detail="y")))
    message_validator("error").validate(whole)
    with pytest.raises(ValidationError):
        message_validator("error").validate({key: value for key, value in whole.items() if key != "retry_after"})


def test_close_codes_and_credentials_are_named() -> None:
    assert {"1012", "4400", "4401", "4408", "4429"} < set(DOCUMENT["channels"]["chat"]["x-close-codes"])
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"ticket", "session"}
    assert settings.SESSION_COOKIE_NAME == asyncapi.SESSION_COOKIE


def test_a_document_that_is_out_of_date_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncapi, "ADDRESS", "/elsewhere/")
    with pytest.raises(CommandError, match=r"docs/asyncapi\.json is out of date"):
        call_command("protocol_docs", "--check")


def test_the_server_gives_the_document_with_its_own_address() -> None:
    answer = Client().get("/api/asyncapi.json")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    served = answer.json()
    assert (served["servers"]["chat"]["host"], served["servers"]["chat"]["protocol"]) == ("127.0.0.1:8000", "ws")
    assert served | {"servers": 0} == DOCUMENT | {"servers": 0}
    again = Client().get("/api/asyncapi.json", headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_file_in_the_docs_is_that_document() -> None:
    assert json.loads((Path(settings.BASE_DIR) / "docs/asyncapi.json").read_text()) == DOCUMENT
