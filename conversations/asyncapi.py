"""The chat protocol as an AsyncAPI 3 document, made from its own classes (``events.py``): for programs what
docs/protocol.md is for people. Schemas are JSON Schema of draft 7, which is what AsyncAPI speaks.
"""

import inspect
from typing import Any

import msgspec

from conversations import events
from conversations.event_examples import examples_of

Json = dict[str, Any]

ADDRESS = "/ws/chat/"
CHANNEL = {"$ref": "#/channels/chat"}
SESSION_COOKIE = "sessionid"
_SCHEMAS = "#/components/schemas/{name}"
_CREDENTIALS: Json = {
    "ticket": {
        "type": "httpApiKey",
        "in": "query",
        "name": "ticket",
        "description": "For programs. `POST /api/v1/chat/ws-ticket` gives one, good once, within 30 seconds.",
    },
    "session": {
        "type": "httpApiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "For pages of this site: the session's cookie, with an `Origin` that is the site's own.",
    },
}
# What answers a command, to whoever sent it. Commands that are missing here are answered only where they are refused.
_ANSWERS: dict[type[msgspec.Struct], list[type[events.Event]]] = {
    events.MessageSend: [events.MessageAccepted],
    events.MessageEdit: [events.MessageAccepted],
    events.ReplyRegenerate: [events.MessageAccepted],
    events.ReplyContinue: [events.MessageAccepted],
    events.ReplyStop: [events.ReplyStopped],
    events.ConversationFollow: [events.ConversationSnapshot],
    events.Ping: [events.Pong],
}


def asyncapi_document(host: str = "", *, secure: bool = True) -> Json:
    """The document; of the server ``host``, or of one that is still to be named."""
    commands, sent = events.leaves(events.Command), events.leaves(events.Event)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Nono: chat",
            "version": str(events.PROTOCOL),
            "description": _text(events),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"chat": _server(host, secure)},
        "channels": {"chat": _channel([*commands, *sent])},
        "operations": {**{_key(kind): _receive(kind) for kind in commands}, "events": _send(sent)},
        "components": {
            "securitySchemes": _CREDENTIALS,
            "messages": {_name(kind): _message(kind) for kind in (*commands, *sent)},
            "schemas": _schemas(commands, sent),
        },
    }


def _server(host: str, secure: bool) -> Json:
    named: Json = {"host": host}
    if not host:
        example: Json = {"default": "chat.example.org", "description": "Where the server is."}
        named = {"host": "{host}", "variables": {"host": example}}
    security = [{"$ref": f"#/components/securitySchemes/{name}"} for name in _CREDENTIALS]
    return {**named, "protocol": "wss" if secure else "ws", "security": security}


def _channel(kinds: list[type[msgspec.Struct]]) -> Json:
    ticket = {"type": "string", "description": _CREDENTIALS["ticket"]["description"]}
    return {
        "address": ADDRESS,
        "title": "The chat socket",
        "description": f"A frame is text, of at most {events.MAX_FRAME_BYTES} bytes. Replies to commands may come "
        "between other events. Ignore events and fields that you do not know: more may be added.",
        "servers": [{"$ref": "#/servers/chat"}],
        "messages": {_name(kind): {"$ref": f"#/components/messages/{_name(kind)}"} for kind in kinds},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {"type": "object", "properties": {"ticket": ticket}},
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": {str(code): meaning for code, meaning in events.CLOSE_CODES.items()},
    }


def _receive(kind: type[msgspec.Struct]) -> Json:
    """The operation of one command, seen from the server."""
    answers = [*_ANSWERS.get(kind, ()), events.Error]
    return {
        "action": "receive",
        "channel": CHANNEL,
        "summary": _first_sentence(_text(kind)),
        "messages": [_in_channel(kind)],
        "reply": {"channel": CHANNEL, "messages": [_in_channel(answer) for answer in answers]},
    }


def _send(kinds: list[type[msgspec.Struct]]) -> Json:
    return {
        "action": "send",
        "channel": CHANNEL,
        "summary": "What the server says: answers, and what happens in conversations that are followed.",
        "messages": [_in_channel(kind) for kind in kinds],
    }


def _message(kind: type[msgspec.Struct]) -> Json:
    return {
        "name": _name(kind),
        "title": _name(kind),
        "description": _text(kind),
        "contentType": "application/json",
        "payload": {"$ref": _SCHEMAS.format(name=kind.__name__)},
        "examples": [{"name": _name(kind), "payload": example} for example in examples_of(kind)],
    }


def _schemas(commands: list[type[msgspec.Struct]], sent: list[type[msgspec.Struct]]) -> Json:
    """The schema of every struct by its name. What the server sends always has all of its fields."""
    _, of_commands = msgspec.json.schema_components(commands, ref_template=_SCHEMAS)
    _, of_events = msgspec.json.schema_components(sent, ref_template=_SCHEMAS)
    for schema in of_events.values():
        schema["required"] = list(schema["properties"])
    return {name: _as_draft_7(schema) for name, schema in (of_commands | of_events).items()}


def _as_draft_7(schema: Any) -> Any:
    """The same as msgspec's schema, of draft 2020-12 and with Python's patterns."""
    if isinstance(schema, list):
        return [_as_draft_7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _as_draft_7(value) for key, value in schema.items() if key != "prefixItems"}
    if "prefixItems" in schema:
        made |= {"items": _as_draft_7(schema["prefixItems"]), "additionalItems": schema["items"]}
    if isinstance(schema.get("pattern"), str):
        made["pattern"] = schema["pattern"].replace(r"\Z", "$")
    if isinstance(schema.get("description"), str):
        made["description"] = _cleaned(schema["description"])
    if isinstance(schema.get("enum"), list) and len(schema["enum"]) == 1:
        made["const"] = made.pop("enum")[0]
    return made


def _in_channel(kind: type[msgspec.Struct]) -> Json:
    return {"$ref": f"{CHANNEL['$ref']}/messages/{_name(kind)}"}


def _key(kind: type[msgspec.Struct]) -> str:
    return kind.__name__[0].lower() + kind.__name__[1:]


def _name(kind: type[msgspec.Struct]) -> str:
    """How the wire calls it: its ``type``."""
    return str(kind.__struct_config__.tag)


def _text(described: Any) -> str:
    return _cleaned(described.__doc__ or "")


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].removesuffix(".") + "."


def _cleaned(docstring: str) -> str:
    return inspect.cleandoc(docstring).replace("``", "`")
