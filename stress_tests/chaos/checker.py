"""Holds what clients did and heard against what the database holds and what the model said. Pure.

What must be so, after whatever faults:

- an accepted question is stored once, as it was sent, under the ids that every acknowledgement named (``lost``,
  ``doubled``, ``altered``), and one that was sent is acknowledged in the end (``unanswered``);
- it has exactly one reply, and that has ended, in the database and before its client's eyes (``replies``, ``stuck``);
- what the client put together is what is stored (``differs``);
- nothing counts as completed, or is ever shown so, that the model did not say to its end (``cut``), and nothing as
  stopped that nobody stopped (``unasked``);
- a reply that was to go on, and was acknowledged, was taken up again (``unanswered``);
- whatever is shown is the beginning of what the model says to this question (``mixed``), and each event joins on to
  those before it under its epoch (``stream``);
- questions of a conversation follow each other as they were asked (``order``);
- nothing of another person is seen (``foreign``), and nobody is signed out (``signed_out``).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .history import Line, Shown

SIGNED_OUT = (4401, 4403)
ENDED = ("completed", "stopped", "interrupted", "failed")
COMMANDS = ("message.send", "reply.continue")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """All that a run left behind.

    ``histories`` by client, ``owners`` the person of each; ``rows`` are all messages of the database; ``finished`` the
    questions to which the model sent an answer with its end; ``rest`` what the model says when it is told to go on.
    """

    histories: Mapping[str, Sequence[Line]]
    owners: Mapping[str, str]
    rows: Sequence[Row]
    finished: Mapping[str, int]
    rest: str

    def said(self, question: str) -> str:
        """What the model says to ``question``."""
        return f"echo: {question}"


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be: of which client and message, and all that is known of it."""

    kind: str
    client: str
    detail: str
    client_id: str = ""
    evidence: Sequence[str] = ()

    def __str__(self) -> str:
        head = f"{self.kind.upper()} {self.client} {self.client_id}: {self.detail}"
        return "\n    ".join([head, *self.evidence])


@dataclass(slots=True)
class Verdict:
    """``counts``: accepted, stored, sent again, and replies by how they ended."""

    violations: list[Violation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def of_kind(self) -> Counter[str]:
        return Counter(violation.kind for violation in self.violations)


def check(told: Told) -> Verdict:
    """Every violation there is, each with its evidence."""
    verdict = Verdict()
    database = _Database(told.rows)
    for client, lines in told.histories.items():
        for violation in _Client(told, database, client, lines).violations(verdict.counts):
            verdict.violations.append(violation)
    verdict.violations += _unsent(told, database)
    verdict.violations += _repeated(database)
    verdict.counts["stored"] = sum(row["role"] == "user" for row in told.rows)
    return verdict


class _Database:
    """The rows by what they are looked up by."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.by_id = {row["id"]: row for row in rows}
        self.by_command: dict[tuple[str, str], list[Row]] = defaultdict(list)
        self.replies: dict[str, list[Row]] = defaultdict(list)
        self.owner_of: dict[str, str] = {}
        for row in rows:
            self.by_command[row["owner"], row["client_id"] or ""].append(row)
            self.owner_of[row["id"]] = self.owner_of[row["conversation"]] = row["owner"]
            if row["role"] == "assistant":
                self.replies[row["parent"]].append(row)


def may_be_shown(text: str, whole: str, rest: str) -> bool:
    """Whether ``text`` is the beginning of ``whole``; or a part of that and then, as often as it was told to go on, of
    ``rest``."""
    if whole.startswith(text):
        return True
    same = next(place for place, (one, other) in enumerate(zip(text, whole + "\0", strict=False)) if one != other)
    return any(text[at] == rest[0] and _goes_on(text[at:], rest) for at in range(same, 0, -1))


def _goes_on(text: str, rest: str) -> bool:
    """Whether ``text`` is made of beginnings of ``rest``, one behind the other."""
    while text:
        size = next((n for n in range(min(len(text), len(rest)), 0, -1) if text.startswith(rest[:n])), 0)
        if not size:
            return False
        text = text[size:]
    return True


def is_whole(text: str, whole: str, rest: str) -> bool:
    """Whether the model has said all it had to say: ``whole``, or what it says last when it is told to go on."""
    return text == whole or (text.endswith(rest) and may_be_shown(text, whole, rest))


class _Client:
    """One client's history against the database."""

    def __init__(self, told: Told, database: _Database, client: str, lines: Sequence[Line]) -> None:
        self._told, self._database, self._name, self._lines = told, database, client, lines
        self._owner = told.owners[client]
        self._commands: dict[str, dict[str, Any]] = {}
        self._sent: set[str] = set()
        self._accepted: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        self._shown: dict[str, Shown] = defaultdict(Shown)
        self._stops: set[str] = set()
        self._going_on: dict[str, tuple[str, int]] = {}  # the command, and the epoch that it was acknowledged in
        self._found: list[Violation] = []

    def violations(self, counts: Counter[str]) -> list[Violation]:
        for line in self._lines:
            self._read(line, counts)
        for client_id, command in self._commands.items():
            if command["type"] == "message.send":
                self._check_question(client_id, command, counts)
            elif not self._accepted[client_id]:
                self._violate("unanswered", f"{command['type']} was never answered", client_id)
        self._check_order()
        return self._found

    def _violate(self, kind: str, detail: str, client_id: str = "", *ids: str) -> None:
        wanted = [word for word in (client_id, *ids) if word]
        for accepted in self._accepted.get(client_id, ()):
            wanted += [accepted["message"]["id"], accepted["reply"]["id"]]
        evidence = [str(line) for line in self._lines if any(word in str(line) for word in wanted)]
        evidence += [
            f"stored: {dict(row)}" for row in self._database.rows
            if any(word in (row["id"], row["parent"], row["client_id"]) for word in wanted)
        ]  # fmt: skip
        self._found.append(Violation(kind, self._name, detail, client_id, evidence))

    # --- what it did and heard

    def _read(self, line: Line, counts: Counter[str]) -> None:
        if line["what"] == "asked":
            self._commands[line["command"]["client_id"]] = line["command"]
        elif line["what"] == "sent" and line["command"]["type"] in COMMANDS:
            client_id = line["command"]["client_id"]
            counts["sent again"] += client_id in self._sent
            self._sent.add(client_id)
            self._commands.setdefault(client_id, line["command"])
        elif line["what"] == "sent" and line["command"]["type"] == "reply.stop":
            self._stops.add(line["command"]["reply"])
        elif line["what"] == "heard":
            self._hear(line["event"])
        elif line["what"] == "closed" and line["code"] in SIGNED_OUT:
            self._violate("signed_out", f"closed with {line['code']} though the session is good")

    def _hear(self, event: Mapping[str, Any]) -> None:
        for pk in _ids(event):
            if self._database.owner_of.get(pk, self._owner) != self._owner:
                self._violate("foreign", f"{event['type']} brought {pk} of another person", "", pk)
        kind = event["type"]
        if kind == "message.accepted":
            self._accept(event)
        elif kind == "conversation.snapshot":
            for message in event["messages"]:
                self._learn(message)
        elif kind.startswith("reply."):
            self._take(event)

    def _accept(self, event: Mapping[str, Any]) -> None:
        client_id, reply = event["client_id"], event["reply"]
        is_first = not self._accepted[client_id]
        self._accepted[client_id].append(event)
        self._found_wrong(self._shown[reply["id"]].learn(reply), reply["id"])
        if is_first and self._commands.get(client_id, {}).get("type") == "reply.continue":
            self._going_on[reply["id"]] = (client_id, reply["epoch"])

    def _learn(self, message: Mapping[str, Any]) -> None:
        if message["role"] == "assistant":
            self._found_wrong(self._shown[message["id"]].learn(message), message["id"])
            self._check_shown(message["id"])

    def _take(self, event: Mapping[str, Any]) -> None:
        self._found_wrong(self._shown[event["reply"]].take(event), event["reply"])
        self._check_shown(event["reply"])

    def _found_wrong(self, problem: str, reply: str) -> None:
        if problem:
            self._violate("stream", problem, "", reply)

    def _check_shown(self, reply: str) -> None:
        shown = self._shown[reply]
        text = shown.text
        row = self._database.by_id.get(reply)
        question = self._database.by_id.get(row["parent"]) if row else None
        if row is None or question is None:
            self._violate("lost", f"a reply was shown that is not stored: {reply}", "", reply)
        elif not may_be_shown(text, self._told.said(question["text"]), self._told.rest):
            self._violate("mixed", f"shown was what is no answer to its question: {text!r}", "", reply)
        elif shown.status == "completed" and not is_whole(text, self._told.said(question["text"]), self._told.rest):
            self._violate("cut", f"shown as completed was only {text!r}", "", reply)
        if shown.status and reply in self._going_on:
            client_id, epoch = self._going_on.pop(reply)
            if shown.epoch <= epoch and shown.status != "stopped":
                self._violate(
                    "unanswered", f"acknowledged, and {shown.status} without being taken up", client_id, reply
                )

    # --- what became of it

    def _check_question(self, client_id: str, command: Mapping[str, Any], counts: Counter[str]) -> None:
        stored = self._database.by_command[self._owner, client_id]
        accepted = self._accepted[client_id]
        if len(stored) > 1:
            self._violate("doubled", f"stored {len(stored)} times", client_id)
        if not accepted:
            self._violate("unanswered", "asked, and never acknowledged", client_id)
            return
        counts["accepted"] += 1
        if not stored:
            self._violate("lost", "acknowledged, and not stored", client_id)
            return
        if len({(a["conversation"]["id"], a["message"]["id"], a["reply"]["id"]) for a in accepted}) > 1:
            self._violate("doubled", "acknowledged under several ids", client_id)
        if stored[0]["id"] != accepted[0]["message"]["id"] or stored[0]["text"] != command["text"]:
            self._violate("altered", "stored otherwise than it was sent and acknowledged", client_id)
        replies = self._database.replies[stored[0]["id"]]
        if [row["id"] for row in replies] != [accepted[0]["reply"]["id"]]:
            self._violate("replies", f"{len(replies)} replies are stored, one was acknowledged", client_id)
        for row in replies[:1]:
            counts[row["status"]] += 1
            self._check_reply(client_id, command["text"], row)

    def _check_reply(self, client_id: str, question: str, row: Row) -> None:
        whole, rest, text = self._told.said(question), self._told.rest, row["text"]
        shown = self._shown[row["id"]]
        if row["status"] not in ENDED or not row["finished"]:
            self._violate("stuck", f"its reply is still {row['status']}", client_id)
        elif not shown.status:
            self._violate("stuck", f"its reply is {row['status']}, and its client was not told", client_id)
        elif (shown.status, shown.text) != (row["status"], text):
            self._violate("differs", f"shown as {shown.status}: {shown.text!r}, stored as {row['status']}", client_id)
        if not may_be_shown(text, whole, rest):
            self._violate("mixed", f"stored is what is no answer to its question: {text!r}", client_id)
        elif row["status"] == "completed" and not (is_whole(text, whole, rest) and row["finish_reason"] == "stop"):
            self._violate("cut", f"completed is only {text!r}", client_id)
        elif row["status"] == "completed" and not self._told.finished.get(question):
            self._violate("cut", "completed, and the model never came to its end", client_id)
        elif row["status"] == "failed" and text:
            self._violate("differs", "failed, with a text", client_id)
        elif row["status"] == "stopped" and row["id"] not in self._stops:
            self._violate("unasked", "stopped, and nobody stopped it", client_id)

    def _check_order(self) -> None:
        """Each question follows the reply to the one asked before it in the conversation."""
        last: dict[str, str] = {}
        for client_id, command in self._commands.items():
            if command["type"] != "message.send" or not self._accepted[client_id]:
                continue
            accepted = self._accepted[client_id][0]
            conversation = accepted["conversation"]["id"]
            row = self._database.by_id.get(accepted["message"]["id"])
            if row is not None and (row["parent"], row["conversation"]) != (last.get(conversation), conversation):
                self._violate("order", f"stored behind {row['parent']}, not {last.get(conversation)}", client_id)
            last[conversation] = accepted["reply"]["id"]


def _ids(event: Mapping[str, Any]) -> Iterator[str]:
    """The ids of conversations and messages that an event names."""
    for name in ("conversation", "reply", "message"):
        value = event.get(name)
        if isinstance(value, Mapping):
            yield value["id"]
        elif isinstance(value, str):
            yield value
    for message in event.get("messages", ()):
        yield message["id"]


def _unsent(told: Told, database: _Database) -> Iterator[Violation]:
    """Questions in the database that nobody sent."""
    sent = {
        (told.owners[client], line["command"]["client_id"])
        for client, lines in told.histories.items()
        for line in lines
        if line["what"] == "sent" and line["command"]["type"] == "message.send"
    }
    for row in database.rows:
        if row["role"] == "user" and (row["owner"], row["client_id"]) not in sent:
            yield Violation("doubled", row["owner"], "stored, and nobody sent it", row["client_id"] or "", [str(row)])


def _repeated(database: _Database) -> Iterator[Violation]:
    """Questions, each unlike all others when it was asked, that are stored more than once."""
    by_text: dict[str, list[Row]] = defaultdict(list)
    for row in database.rows:
        if row["role"] == "user":
            by_text[row["text"]].append(row)
    for rows in _several(by_text.values()):
        yield Violation("doubled", rows[0]["owner"], f"{len(rows)} rows hold the same question", evidence=_lines(rows))


def _several(groups: Iterable[list[Row]]) -> Iterator[list[Row]]:
    return (group for group in groups if len(group) > 1)


def _lines(rows: Iterable[Row]) -> list[str]:
    return [str(dict(row)) for row in rows]
