"""Who gets what of every operation of the API, and of every command of the chat socket: two tables, walked by
test_access_matrix.py and test_socket_matrix.py.

What is in the URL configuration or in conversations/events.py and not in its table fails the test, and the other way
round.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from faqs.api.examples import FILE

#: What a refused caller is answered. ``absent``: and to the letter as for an id that there is not. ``spent``: what the
#: body holds is no good, whoever sends it. ``away``: the tests' own process has no reply worker.
REFUSALS: Mapping[str, tuple[int, str]] = {
    "nobody": (401, "signed_out"),
    "gone": (401, "invalid_token"),
    "no-api": (401, "invalid_api_key"),
    "absent": (404, "not_found"),
    "model?": (404, "model_not_found"),
    "forbid": (403, "forbidden"),
    "account": (403, "account_needed"),
    "no-key": (403, "key_not_enough"),
    "scope": (403, "scope_missing"),
    "spent": (401, "invalid_token"),
    "dead": (404, "dead_link"),
    "wrong": (403, "wrong_password"),
    "bad": (401, "sign_in_failed"),
    "away": (503, "unavailable"),
    "paused": (403, "processing_restricted"),
}

#: The people of the table. ``owner`` is whose the things are; ``susp.`` is the owner once suspended, with a token,
#: a key and a session from before; ``paused`` is the owner with processing paused, by the same three.
CALLERS = ("owner", "other", "guest", "moder.", "admin", "nobody", "susp.", "paused")

#: ``needs``: what an API key must be good for; ``self`` is for nobody but the person, signed in themselves; ``-``: who
#: calls is not looked at. Paths are below /api/v1/ unless they begin with a slash; the names in them are of the things
#: that the test makes, not those of the URL configuration.
TABLE = """
method path                                       needs owner  other  guest   moder. admin  nobody susp.  paused
POST   auth/register                              -     202    202    202     202    202    202    202    202
POST   auth/verify-email                          -     dead   dead   dead    dead   dead   dead   gone   dead
POST   auth/login                                 -     200    200    200     200    200    200    bad    200
POST   auth/guest                                 -     201    201    201     201    201    201    201    201
POST   auth/refresh                               -     200    200    200     200    200    200    spent  200
POST   auth/logout                                self  204    204    204     204    204    nobody gone   204
POST   auth/password/reset                        -     202    202    202     202    202    202    202    202
POST   auth/password/reset/confirm                -     204    204    204     204    204    204    dead   204
POST   auth/password/change                       self  200    wrong  account wrong  wrong  nobody gone   200
GET    auth/api-keys                              self  200    200    account 200    200    nobody gone   200
POST   auth/api-keys                              self  201    201    account 201    201    nobody gone   paused
DELETE auth/api-keys/{key}                        self  204    absent account absent absent nobody gone   204
GET    me                                         read  200    200    200     200    200    nobody gone   200
PATCH  me                                         self  200    200    200     200    200    nobody gone   paused
DELETE me                                         self  202    wrong  202     wrong  wrong  nobody gone   202
GET    sessions                                   self  200    200    200     200    200    nobody gone   200
DELETE sessions/{session}                         self  204    absent absent  absent absent nobody gone   204
GET    privacy/policies                           -     200    200    200     200    200    200    200    200
GET    privacy/consents                           self  200    200    200     200    200    nobody gone   200
PUT    privacy/consents/{purpose}                 self  200    200    200     200    200    nobody gone   200
GET    privacy/exports                            self  200    200    200     200    200    nobody gone   200
POST   privacy/exports                            self  202    202    202     202    202    nobody gone   202
GET    privacy/exports/{export}                   self  200    absent absent  absent absent nobody gone   200
POST   privacy/exports/{export}/fetch             self  200    absent absent  absent absent nobody gone   200
GET    privacy/erasure                            self  200    200    200     200    200    nobody gone   200
GET    privacy/restriction                        self  200    200    200     200    200    nobody gone   200
POST   privacy/restriction                        self  200    200    200     200    200    nobody gone   200
DELETE privacy/restriction                        self  204    204    204     204    204    nobody gone   204
POST   privacy/erasure/cancel                     -     bad    bad    bad     bad    bad    bad    bad    bad
POST   chat/ws-ticket                             read  201    201    201     201    201    nobody gone   201
POST   chat/send                                  chat  200    absent absent  absent absent nobody gone   paused
GET    conversations                              read  200    200    200     200    200    nobody gone   200
POST   conversations                              write 201    201    201     201    201    nobody gone   paused
POST   conversations/clear                        write 200    200    200     200    200    nobody gone   paused
GET    conversations/{conversation}               read  200    absent absent  absent absent nobody gone   200
PUT    conversations/{conversation}               write 200    absent absent  absent absent nobody gone   paused
PATCH  conversations/{conversation}               write 200    absent absent  absent absent nobody gone   paused
DELETE conversations/{conversation}               write 204    absent absent  absent absent nobody gone   paused
POST   conversations/{deleted}/restore            write 200    absent absent  absent absent nobody gone   paused
POST   conversations/{conversation}/select-branch write 200    absent absent  absent absent nobody gone   paused
GET    conversations/{conversation}/export        read  200    absent absent  absent absent nobody gone   200
GET    conversations/{conversation}/messages      read  200    absent absent  absent absent nobody gone   200
GET    messages/{reply}                           read  200    absent absent  absent absent nobody gone   200
POST   messages/{question}/edit                   chat  200    absent absent  absent absent nobody gone   paused
POST   messages/{reply}/regenerate                chat  200    absent absent  absent absent nobody gone   paused
POST   messages/{stopped}/continue                chat  200    absent absent  absent absent nobody gone   paused
POST   messages/{reply}/stop                      chat  200    absent absent  absent absent nobody gone   paused
PUT    messages/{reply}/feedback                  write 200    absent absent  absent absent nobody gone   paused
POST   messages/{reply}/feedback                  write 200    absent absent  absent absent nobody gone   paused
DELETE messages/{reply}/feedback                  write 204    absent absent  absent absent nobody gone   paused
POST   messages/{reply}/hand-over                 write 200    absent absent  absent absent nobody gone   paused
GET    messages/{reply}/events                    read  200    absent absent  absent absent nobody gone   200
GET    held-back                                  read  200    200    200     200    200    nobody gone   200
POST   held-back/{held}/object                    write 200    absent absent  absent absent nobody gone   paused
GET    moderation/queue                           staff forbid forbid forbid  200    200    nobody gone   forbid
POST   moderation/queue/{held}/decide             staff forbid forbid forbid  200    200    nobody gone   paused
GET    sessions/active                            staff forbid forbid forbid  forbid 200    nobody gone   forbid
GET    personas                                   read  200    200    200     200    200    200    gone   200
POST   personas                                   staff forbid forbid forbid  forbid 201    nobody gone   paused
GET    personas/{persona}                         read  200    200    200     200    200    200    gone   200
PATCH  personas/{persona}                         staff forbid forbid forbid  forbid 200    nobody gone   paused
GET    personas/{persona}/draft                   staff forbid forbid forbid  200    200    nobody gone   forbid
PATCH  personas/{persona}/draft                   staff forbid forbid forbid  forbid 200    nobody gone   paused
DELETE personas/{persona}/draft                   staff forbid forbid forbid  forbid 204    nobody gone   paused
POST   personas/{persona}/publish                 staff forbid forbid forbid  forbid 200    nobody gone   paused
POST   personas/{persona}/roll-back               staff forbid forbid forbid  forbid 200    nobody gone   paused
POST   personas/{persona}/archive                 staff forbid forbid forbid  forbid 200    nobody gone   paused
POST   personas/{persona}/restore                 staff forbid forbid forbid  forbid 200    nobody gone   paused
GET    personas/{persona}/versions                staff forbid forbid forbid  200    200    nobody gone   forbid
GET    personas/{persona}/versions/{number}       staff forbid forbid forbid  200    200    nobody gone   forbid
GET    personas/{persona}/diff                    staff forbid forbid forbid  200    200    nobody gone   forbid
GET    faqs                                       read  200    200    200     200    200    200    gone   200
POST   faqs                                       staff forbid forbid forbid  201    201    nobody gone   paused
GET    faqs/search?q=page                         read  200    200    200     200    200    200    gone   200
POST   faqs/import                                staff forbid forbid forbid  200    200    nobody gone   paused
GET    faqs/export                                staff forbid forbid forbid  200    200    nobody gone   forbid
GET    faqs/{faq}                                 read  200    200    200     200    200    200    gone   200
PUT    faqs/{faq}                                 staff forbid forbid forbid  200    200    nobody gone   paused
PATCH  faqs/{faq}                                 staff forbid forbid forbid  200    200    nobody gone   paused
DELETE faqs/{faq}                                 staff forbid forbid forbid  forbid 204    nobody gone   paused
POST   faqs/{faq}/feedback                        write 200    200    200     200    200    nobody gone   paused
POST   faqs/{draft}/publish                       staff forbid forbid forbid  200    200    nobody gone   paused
POST   faqs/{faq}/archive                         staff forbid forbid forbid  200    200    nobody gone   paused
POST   faqs/{faq}/unarchive                       staff forbid forbid forbid  200    200    nobody gone   paused
POST   faqs/{faq}/phrasings                       staff forbid forbid forbid  200    200    nobody gone   paused
PUT    faqs/{faq}/translations/{german}           staff forbid forbid forbid  200    200    nobody gone   paused
DELETE faqs/{faq}/translations/{french}           staff forbid forbid forbid  204    204    nobody gone   paused
GET    faqs/{faq}/versions                        staff forbid forbid forbid  200    200    nobody gone   forbid
GET    faqs/{faq}/versions/{number}               staff forbid forbid forbid  200    200    nobody gone   forbid
GET    faqs/{faq}/diff                            staff forbid forbid forbid  200    200    nobody gone   forbid
POST   faqs/{faq}/restore                         staff forbid forbid forbid  200    200    nobody gone   paused
GET    faq-categories                             read  200    200    200     200    200    200    gone   200
POST   faq-categories                             staff forbid forbid forbid  201    201    nobody gone   paused
GET    faq-categories/{category}                  read  200    200    200     200    200    200    gone   200
PATCH  faq-categories/{category}                  staff forbid forbid forbid  200    200    nobody gone   paused
DELETE faq-categories/{empty}                     staff forbid forbid forbid  204    204    nobody gone   paused
GET    faq-gaps                                   staff forbid forbid forbid  200    200    nobody gone   forbid
GET    faq-gaps/{gap}                             staff forbid forbid forbid  200    200    nobody gone   forbid
POST   faq-gaps/{gap}/dismiss                     staff forbid forbid forbid  200    200    nobody gone   paused
POST   faq-gaps/{gap}/reopen                      staff forbid forbid forbid  200    200    nobody gone   paused
POST   faq-gaps/{gap}/draft                       staff forbid forbid forbid  201    201    nobody gone   paused
GET    analytics/dashboard                        staff forbid forbid forbid  200    200    nobody gone   forbid
GET    analytics/user/{person}                    read  200    absent absent  200    200    nobody gone   200
GET    analytics/conversations                    staff forbid forbid forbid  200    200    nobody gone   forbid
GET    analytics/metrics                          staff forbid forbid forbid  200    200    nobody gone   forbid
GET    analytics/figures                          staff forbid forbid forbid  200    200    nobody gone   forbid
GET    analytics/series                           staff forbid forbid forbid  200    200    nobody gone   forbid
GET    analytics/cohorts                          staff forbid forbid forbid  200    200    nobody gone   forbid
GET    analytics/faqs                             staff forbid forbid forbid  200    200    nobody gone   forbid
GET    analytics/moods                            staff forbid forbid forbid  200    200    nobody gone   forbid
GET    analytics/quality                          staff forbid forbid forbid  200    200    nobody gone   forbid
GET    health                                     -     away   away   away    away   away   away   away   away
GET    /v1/models                                 read  200    200    200     200    200    no-api no-api 200
GET    /v1/models/{model}                         read  200    200    200     200    200    no-api no-api 200
POST   /v1/chat/completions                       chat  200    200    200     200    200    no-api no-api paused
"""

#: What a command over the socket is answered with first: a word of REFUSALS, the event's type, ``-`` for no answer, or
#: the code with which the socket is closed before anything can be sent.
SOCKET_TABLE = """
command               needs owner                 other  guest  moder. admin  nobody susp. paused
message.send          chat  message.accepted      absent absent absent absent 4401   4401  paused
message.edit          chat  message.accepted      absent absent absent absent 4401   4401  paused
reply.regenerate      chat  message.accepted      absent absent absent absent 4401   4401  paused
reply.continue        chat  message.accepted      absent absent absent absent 4401   4401  paused
reply.stop            chat  -                     absent absent absent absent 4401   4401  paused
conversation.follow   read  conversation.snapshot absent absent absent absent 4401   4401  conversation.snapshot
conversation.unfollow read  -                     -      -      -      -      4401   4401  -
typing                chat  -                     -      -      -      -      4401   4401  -
ping                  read  pong                  pong   pong   pong   pong   4401   4401  pong
"""

Ids = Mapping[str, str]
_ADDRESS = "new@example.org"
PASSWORD, NEW_PASSWORD = "correct horse battery", "another correct horse"

#: What is sent with an operation: ids are those of the owner's things, or such as there are not.
BODIES: Mapping[str, Callable[[Ids], dict[str, Any]]] = {
    "POST auth/register": lambda ids: {"email": _ADDRESS, "password": NEW_PASSWORD},
    "POST auth/verify-email": lambda ids: {"token": "x", "password": "x"},
    "POST auth/login": lambda ids: {"email": ids["-email"], "password": PASSWORD},
    "POST auth/guest": lambda ids: {},
    "POST auth/refresh": lambda ids: {"refresh": ids["-refresh"]},
    "POST auth/logout": lambda ids: {},
    "POST auth/password/reset": lambda ids: {"email": ids["-email"]},
    "POST auth/password/reset/confirm": lambda ids: {"token": ids["-reset"], "new_password": NEW_PASSWORD},
    "POST auth/password/change": lambda ids: {"password": PASSWORD, "new_password": NEW_PASSWORD},
    "POST auth/api-keys": lambda ids: {"name": "script", "scopes": ["read"]},
    "PATCH me": lambda ids: {"language": "de"},
    "DELETE me": lambda ids: {"password": PASSWORD},
    "PUT privacy/consents/{purpose}": lambda ids: {"granted": True, "version": 1},
    "POST privacy/erasure/cancel": lambda ids: {"email": ids["-email"], "password": PASSWORD},
    "POST chat/ws-ticket": lambda ids: {},
    "POST conversations": lambda ids: {"title": "Mine"},
    "POST conversations/clear": lambda ids: {},
    "PUT conversations/{conversation}": lambda ids: {"title": "x", "pinned": True, "archived": False, "metadata": {}},
    "PATCH conversations/{conversation}": lambda ids: {"title": "x"},
    "POST conversations/{deleted}/restore": lambda ids: {},
    "POST conversations/{conversation}/select-branch": lambda ids: {"message": ids["reply"]},
    "POST messages/{question}/edit": lambda ids: {"text": "In other words", "wait": 0},
    "POST messages/{reply}/regenerate": lambda ids: {"wait": 0},
    "POST messages/{stopped}/continue": lambda ids: {"wait": 0},
    "PUT messages/{reply}/feedback": lambda ids: {"value": 1},
    "POST messages/{reply}/feedback": lambda ids: {"value": 1},
    "POST held-back/{held}/object": lambda ids: {"text": "It is a band's name"},
    "POST moderation/queue/{held}/decide": lambda ids: {"state": "dismissed", "answer": "Sorry."},
    "POST personas": lambda ids: {"slug": "another", "name": "Another", "system_prompt": "You are another."},
    "PATCH personas/{persona}": lambda ids: {"position": 7},
    "PATCH personas/{persona}/draft": lambda ids: {"name": "Renamed"},
    "POST personas/{persona}/roll-back": lambda ids: {"number": 1},
    "POST faqs": lambda ids: {"question": "Is it new?", "answer": "It is."},
    "POST faqs/import": lambda ids: FILE,
    "PUT faqs/{faq}": lambda ids: {"question": "Is it written anew?", "answer": "It is."},
    "PATCH faqs/{faq}": lambda ids: {"answer": "It is not."},
    "POST faqs/{faq}/feedback": lambda ids: {"helpful": True},
    "POST faqs/{faq}/phrasings": lambda ids: {"text": "On which page?"},
    "POST faqs/{faq}/restore": lambda ids: {"number": 1},
    "POST faq-gaps/{gap}/dismiss": lambda ids: {"reason": "Not ours."},
    # A model that there is not is told once the request is over: conversations/tests/test_openai_sdk.py.
    "POST /v1/chat/completions": lambda ids: {
        "model": ids["-model"],
        "messages": [{"role": "user", "content": "Let me in"}],
    },
    "POST faq-categories": lambda ids: {"name": "New"},
    "PATCH faq-categories/{category}": lambda ids: {"name": "Renamed"},
    "POST chat/send": lambda ids: {"text": "Let me in", "conversation": ids["conversation"], "wait": 0},
}


def nameless(path: str) -> str:
    """The path with ``{}`` for each of its parameters."""
    return re.sub(r"{\w+}|<[^>]+>", "{}", path)


@dataclass(frozen=True)
class Row:
    """One operation, and the outcome for each of CALLERS: a status, or a word of REFUSALS."""

    method: str
    path: str
    needs: str
    outcomes: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def operation(self) -> tuple[str, str]:
        """Method and whole path, whatever the names of its parameters."""
        return self.method, nameless(self._whole.partition("?")[0])

    @property
    def _whole(self) -> str:
        return self.path if self.path.startswith("/") else f"/api/v1/{self.path}"

    def address(self, ids: Ids) -> str:
        """Where it is called, on the things of ``ids``."""
        return self._whole.format_map(ids)

    def body(self, ids: Ids) -> dict[str, Any] | None:
        make = BODIES.get(self.name)
        return make(ids) if make else None

    @property
    def absent(self) -> tuple[int, str]:
        """What is answered where there is no such thing."""
        return REFUSALS["model?" if self.path.startswith("/v1/") else "absent"]

    @property
    def names_things(self) -> bool:
        """Whether it is called on a thing, so that there is another answer where that is absent."""
        asked = _Asked()
        self.address(asked)
        self.body(asked)
        return any(not name.startswith("-") for name in asked.names)


class _Asked(dict[str, str]):
    """Notes which ids are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __missing__(self, name: str) -> str:
        self.names.add(name)
        return "x"


_NOTHING = {**dict.fromkeys(("persona", "category", "empty"), "no-such-thing"), "number": "999999"}


class Absent(dict[str, str]):
    """Ids of nothing; what begins with ``-`` is no thing's id and stays."""

    def __init__(self, ids: Ids) -> None:
        super().__init__({name: value for name, value in ids.items() if name.startswith("-")})

    def __missing__(self, name: str) -> str:
        return self.setdefault(name, _NOTHING.get(name) or str(uuid4()))


#: The fields of each command, beside ``client_id`` where it takes one.
COMMANDS: Mapping[str, Callable[[Ids], dict[str, Any]]] = {
    "message.send": lambda ids: {"conversation": ids["conversation"], "text": "Let me in"},
    "message.edit": lambda ids: {"message": ids["question"], "text": "Mine now"},
    "reply.regenerate": lambda ids: {"reply": ids["reply"]},
    "reply.continue": lambda ids: {"reply": ids["stopped"]},
    "reply.stop": lambda ids: {"reply": ids["reply"]},
    "conversation.follow": lambda ids: {"conversation": ids["conversation"]},
    "conversation.unfollow": lambda ids: {"conversation": ids["conversation"]},
    "typing": lambda ids: {"conversation": ids["conversation"]},
    "ping": lambda ids: {},
}


@dataclass(frozen=True)
class CommandRow:
    """One command of the socket, and what each of CALLERS is answered."""

    name: str
    needs: str
    outcomes: Mapping[str, str]

    def command(self, ids: Ids) -> dict[str, Any]:
        """The command, on the things of ``ids``."""
        return {"type": self.name, **COMMANDS[self.name](ids)}


def rows() -> list[Row]:
    """The lines of TABLE."""
    return [Row(*line[:3], dict(zip(CALLERS, line[3:], strict=True))) for line in _lines(TABLE)]


def command_rows() -> list[CommandRow]:
    """The lines of SOCKET_TABLE."""
    return [CommandRow(*line[:2], dict(zip(CALLERS, line[2:], strict=True))) for line in _lines(SOCKET_TABLE)]


def _lines(table: str) -> list[list[str]]:
    head, *lines = [line.split() for line in table.strip().splitlines()]
    assert tuple(head[-len(CALLERS) :]) == CALLERS
    return lines
