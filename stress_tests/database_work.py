"""What database_test measures, through Django and the product's own functions. Run by it in the environment of its
database; reads one JSON object and prints another, progress on standard error."""

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_project.settings")
django.setup()

import psycopg  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, connections, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import User  # noqa: E402
from chatbot_project.lib.api.paging import read_page  # noqa: E402
from chatbot_project.lib.ids import uuid7  # noqa: E402
from conversations import services  # noqa: E402
from conversations.models import LIST_ORDERINGS, Conversation, Message  # noqa: E402
from conversations.partitioning import MESSAGES  # noqa: E402
from conversations.replies import queue, work  # noqa: E402
from conversations.selectors import find_conversation  # noqa: E402
from conversations.store import insert_history  # noqa: E402
from conversations.transcript import read_transcript  # noqa: E402
from faqs.first_stage import Filters, find_candidates  # noqa: E402
from faqs.indexing import fill_index  # noqa: E402
from faqs.models import EmbeddingModel  # noqa: E402
from personas.models import PersonaVersion  # noqa: E402

from .bench_seed import publish  # noqa: E402
from .bench_turns import percentiles_ms  # noqa: E402
from .faq_corpus import make_corpus  # noqa: E402
from .retention_seed import fill  # noqa: E402

PEOPLE, TURNS_EACH, LONG_TURNS, LISTED = 100, 10, 500, 1000
BIG_ROWS = 5000  # a table with more is not to be read whole
TEXT = "Where do I find the invoice of the last order, and how long may I send it back? " * 4
REPEATS, PHRASINGS, LEASE_SECONDS, PAGE = 5, 5, 60, 30
EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
WORKER = "stress"


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)


# --- rows


def people_of(count: int) -> list[User]:
    now = timezone.now()
    return User.objects.bulk_create(
        User(email=f"person{n}@bench.invalid", username=f"person{n}", password="!", email_verified_at=now)
        for n in range(count)
    )


def ended_conversations(person: User, version: UUID, count: int, turns: int) -> None:
    with transaction.atomic():
        fill(owner=person.pk, version=version, conversations=count, turns=turns, at=timezone.now(), text=TEXT)


def fill_up(everybody: list[User], version: UUID, wanted: int) -> float:
    """Messages of conversations that ended, evenly over the people, until there are ``wanted``. Returns seconds."""
    began = time.perf_counter()
    each = max(1, (wanted - Message.objects.count()) // (2 * TURNS_EACH * len(everybody)))
    for person in everybody:
        ended_conversations(person, version, each, TURNS_EACH)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return time.perf_counter() - began


def long_conversation(person: User, version: UUID) -> Conversation:
    """One of LONG_TURNS questions and replies, each following the one before."""
    conversation = Conversation.objects.create(owner=person, persona_version_id=version, title="Long")
    rows: list[Message] = []
    for number in range(2 * LONG_TURNS):
        role, status = ("assistant", "completed") if number % 2 else ("user", "sent")
        rows.append(
            Message(
                conversation=conversation, owner=person, parent=rows[-1] if rows else None, role=role, status=status,
                text=f"{number}: {TEXT}", created_at=timezone.now(), epoch=number % 2,
            )
        )  # fmt: skip
    insert_history(conversation, rows)
    conversation.active_leaf = rows[-1]
    conversation.save(update_fields=["active_leaf"])
    return conversation


# --- statements


class Statement:
    """What EXPLAIN ANALYZE says of one: milliseconds to execute and to plan it, 8 KiB pages touched, tables of BIG_ROWS
    and more read whole."""

    def __init__(self, plan: dict[str, Any], sql: str, big: set[str]) -> None:
        root = plan["Plan"]
        self.ms: float = plan["Execution Time"]
        self.planning_ms: float = plan["Planning Time"]
        self.pages: int = root["Shared Hit Blocks"] + root["Shared Read Blocks"]
        self.whole = sorted(
            {node["Relation Name"] for node in nodes(root) if is_whole(node) and node["Relation Name"] in big}
        )
        self.sql = " ".join(sql.split())[:160]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def is_whole(node: dict[str, Any]) -> bool:
    """Whether it reads all of a table, and really was run."""
    return node["Node Type"] in ("Seq Scan", "Parallel Seq Scan") and node.get("Actual Loops", 0) > 0


@contextmanager
def explained(big: set[str]) -> Iterator[list[Statement]]:
    """Every statement within is explained, in a transaction that is rolled back, before it is run."""
    found: list[Statement] = []
    plain = psycopg.Cursor.execute

    def execute(self: Any, query: Any, params: Any = None, **how: Any) -> Any:
        if isinstance(query, str) and query.lstrip().upper().startswith(EXPLAINED):
            with self.connection.transaction(force_rollback=True), psycopg.Cursor(self.connection) as own:
                plain(own, EXPLAIN + query, params)
                row: Any = own.fetchone()
                found.append(Statement(row[0][0], query, big))
        return plain(self, query, params, **how)

    psycopg.Cursor.execute = execute  # type: ignore[method-assign]
    try:
        yield found
    finally:
        psycopg.Cursor.execute = plain  # type: ignore[method-assign]


def big_tables() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > %s", [BIG_ROWS])
        return {row[0] for row in cursor.fetchall()}


class Operations:
    """The product's functions, in the order of a turn, each explained."""

    def __init__(self, person: User, conversation: Conversation) -> None:
        self.person, self.conversation = person, conversation
        self.found: dict[str, list[list[Statement]]] = defaultdict(list)
        self.big = big_tables()

    def measure(self) -> dict[str, Any]:
        for number in range(REPEATS):
            self._turn(f"turn{number}-{uuid7().hex}")
            self._pages()
        return {name: self._figures(runs) for name, runs in self.found.items()}

    def _of(self, name: str, what: Callable[[], Any]) -> Any:
        with explained(self.big) as statements:
            answer = what()
        self.found[name].append(statements)
        return answer

    def _turn(self, name: str) -> None:
        send = services.send_message
        self._of("ask, first of a conversation", lambda: send(user=self.person, client_id=f"{name}a", text=TEXT))
        self._answer("")
        go_on: dict[str, Any] = {"user": self.person, "text": TEXT, "conversation_id": self.conversation.pk}
        self._of("ask, in a long conversation", lambda: send(client_id=f"{name}b", **go_on))
        self._answer(", long")

    def _answer(self, which: str) -> None:
        claims = self._of("claim", lambda: queue.claim(WORKER, {}, 1, LEASE_SECONDS))
        self._of(f"read the branch{which}", lambda: work.load_work(claims))
        held = [queue.Checkpoint(claim.reply, claim.epoch, TEXT) for claim in claims]
        self._of("checkpoint", lambda: queue.checkpoint(held, LEASE_SECONDS))
        ending = queue.Ending("completed", TEXT, model="bench/fake", prompt_tokens=40, completion_tokens=60)
        for claim in claims:
            self._of("end", partial(queue.finish, claim.reply, claim.epoch, ending))

    def _pages(self) -> None:
        find: dict[str, Any] = {"user": self.person, "conversation_id": self.conversation.pk}
        conversation = find_conversation(**find)
        page = self._of("history, newest page", lambda: read_transcript(conversation))
        for _ in range(4):
            page = read_transcript(conversation, before=page.messages[0].id)
        self._of("history, sixth page", lambda: read_transcript(conversation, before=page.messages[0].id))
        self._of("list of conversations", lambda: self._list({}))
        first = self._list({})
        self._of("list of conversations, second page", lambda: self._list({"cursor": first.next}))
        self._of("queue's depth", queue.depth)
        self._of("orphans", queue.orphans)

    def _list(self, query: dict[str, Any]) -> Any:
        listed = Conversation.objects.visible_to(self.person).listed(archived=False)
        return read_page(listed, query, orderings=LIST_ORDERINGS, usual_limit=PAGE)

    def _figures(self, runs: list[list[Statement]]) -> dict[str, Any]:
        best = min(runs, key=lambda statements: sum(each.ms for each in statements))
        return {
            "statements": len(best),
            "ms": round(sum(each.ms for each in best), 3),
            "planning_ms": round(sum(each.planning_ms for each in best), 3),
            "pages": min(sum(each.pages for each in statements) for statements in runs),
            "whole": sorted({name for statements in runs for each in statements for name in each.whole}),
            "of": [{"ms": each.ms, "pages": each.pages, "sql": each.sql} for each in best],
        }


# --- load


class Load:
    """People who ask at once and workers who answer, in as many threads: each does the one and then the other, on a
    connection that it keeps until the context ends."""

    def __init__(self, people: list[User]) -> None:
        self._people = people
        self._threads = [ThreadPoolExecutor(1) for _ in people]
        self._began, self._deadlocks_before = 0.0, 0
        self.times: dict[str, list[float]] = defaultdict(list)
        self.ended_at: list[float] = []
        self.errors: list[str] = []

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_error: object) -> None:
        self.all_do(lambda _person: connections.close_all())
        for thread in self._threads:
            thread.shutdown()

    def take_turns(self, seconds: float) -> None:
        """Each person's, one after the other, for so long; those begun by then are brought to their end, which fails
        where it does not come within LEASE_SECONDS: whoever took the reply up failed with it."""
        self._deadlocks_before, self._began = _deadlocks(), time.monotonic()
        self.all_do(lambda person: self._live(person, self._began + seconds))

    def begin_turns(self) -> None:
        """One more each, left as it is while its model goes on: there is text in the database, and no ending."""
        self.all_do(self._begin_turn)

    def all_do(self, step: Callable[[User], None]) -> None:
        """A step of each person, at once, each in a thread of its own. What goes wrong there is a figure."""
        begun = [thread.submit(step, person) for thread, person in zip(self._threads, self._people, strict=True)]
        errors = filter(None, [each.exception() for each in begun])
        self.errors += [f"{type(error).__name__}: {error}" for error in errors]

    def figures(self) -> dict[str, Any]:
        return {
            "threads": len(self._threads),
            "turns": len(self.ended_at),
            "per_s": per_second(self._began, self.ended_at),
            "errors": self.errors[:5],
            "failed": len(self.errors),
            "deadlocks": _deadlocks() - self._deadlocks_before,
            "times": {name: percentiles_ms(times) for name, times in self.times.items()},
        }

    def _live(self, person: User, until: float) -> None:
        conversation: UUID | None = None
        while time.monotonic() < until:
            accepted = self._ask(person, conversation)
            conversation = accepted.conversation.pk
            while Message.objects.get(pk=accepted.reply.pk).is_live:
                if time.monotonic() > until + LEASE_SECONDS:
                    raise TimeoutError("a reply has no ending: who took it up has failed")
                self._answer_one()
            self.ended_at.append(time.monotonic())

    def _begin_turn(self, person: User) -> None:
        self._ask(person, None)
        while not self._begin_answer():
            pass  # another thread is just taking up what waits: there is one for each
        _row("SELECT pg_stat_force_next_flush()")  # what is reported later would count as dead after VACUUM

    def _ask(self, person: User, conversation: UUID | None) -> services.Accepted:
        ask: dict[str, Any] = {"user": person, "client_id": uuid7().hex, "text": TEXT, "conversation_id": conversation}
        accepted: services.Accepted = self._clocked("ask", lambda: services.send_message(**ask))
        return accepted

    def _answer_one(self) -> None:
        for claim in self._begin_answer():
            ending = queue.Ending("completed", TEXT, model="bench/fake")
            self._clocked("end", partial(queue.finish, claim.reply, claim.epoch, ending))

    def _begin_answer(self) -> list[queue.Claim]:
        """Take up a reply that waits, if there is one, and store some of its text."""
        claims: list[queue.Claim] = self._clocked("claim", lambda: queue.claim(WORKER, {}, 1, LEASE_SECONDS))
        for claim in claims:
            self._clocked("read the branch", partial(work.load_work, [claim]))
            held = [queue.Checkpoint(claim.reply, claim.epoch, TEXT)]
            self._clocked("checkpoint", partial(queue.checkpoint, held, LEASE_SECONDS))
        return claims

    def _clocked(self, name: str, what: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        answer = what()
        self.times[name].append(time.perf_counter() - began)
        return answer


def per_second(began: float, ended_at: Sequence[float]) -> float:
    """Turns a second until the last one ended: those that end late take their time as well."""
    return round(len(ended_at) / (max(ended_at) - began), 1) if ended_at else 0.0


def _deadlocks() -> int:
    return int(_row("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0])


def _row(sql: str) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row: tuple[Any, ...] = cursor.fetchone()
        return row


# --- vacuum


def versions_left() -> dict[str, Any]:
    """What the load left behind: dead versions of rows before and after VACUUM, and how many updates touched no index
    (heap-only). A transaction that anybody has open keeps those that died after it began."""
    statistics = """
        SELECT sum(n_tup_upd)::int8, sum(n_tup_hot_upd)::int8, sum(n_dead_tup)::int8,
               sum(pg_total_relation_size(relid))::int8
        FROM pg_stat_user_tables WHERE relid = '{table}'::regclass
           OR relid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = '{table}'::regclass)
    """
    found: dict[str, Any] = {}
    for table in ("conversations_message", "conversations_conversation"):
        _row("SELECT pg_stat_force_next_flush()")
        updated, heap_only, dead, size = _row(statistics.format(table=table))
        began = time.perf_counter()
        with connection.cursor() as cursor:
            cursor.execute(f"VACUUM {table}")
        seconds = time.perf_counter() - began
        left = _row(statistics.format(table=table))[2]
        found[table] = {
            "updated": updated, "heap_only": heap_only, "dead": dead, "dead_after": left, "bytes": size,
            "vacuum_s": round(seconds, 2),
        }  # fmt: skip
    return found


# --- vectors


def vectors(faqs: int) -> dict[str, Any]:
    """The nearest phrasings of questions that were never stored, by the model's index."""
    from .bench_faqs_run import EVERYBODY, load, recall

    corpus = list(make_corpus(faqs, PHRASINGS))
    load(corpus)
    fill_index()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE faqs_embedding")
    asked = [one.asked[0] for one in corpus[:: max(1, len(corpus) // 200)]]
    model = EmbeddingModel.objects.get()
    from faqs.embedding import embedder

    def search(vector: Any) -> Any:
        return find_candidates(
            query="", vector=vector, model=model.pk, configuration="english", filters=Filters(tuple(EVERYBODY), None),
            phrasings=faqs * PHRASINGS, exact=False,
        )  # fmt: skip

    times = []
    embedded = embedder(model.name).embed(asked)
    search(embedded[0])
    for vector in embedded:
        began = time.perf_counter()
        search(vector)
        times.append(time.perf_counter() - began)
    with explained(big_tables()) as statements:
        search(embedded[0])
    return {
        "phrasings": faqs * PHRASINGS,
        "searches": len(times),
        "ms": percentiles_ms(times),
        "recall_at_10": recall(asked[:100], faqs * PHRASINGS),
        "pages": statements[0].pages,
        "whole": statements[0].whole,
    }


def in_partitions(person: User, conversation: Conversation) -> dict[str, Any]:
    """The same operations with messages in partitions, as many as the product makes of them."""
    call_command("partition", "messages", stdout=sys.stderr)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    connection.close()  # its plans are of one table
    count = len(MESSAGES.partitions())
    return {"partitions": count, "operations": Operations(person, conversation).measure()}


def main(sizes: list[int], threads: int, seconds: float, faqs: int, *, partitioned: bool) -> dict[str, Any]:
    publish("database", "bench/fake")
    version = PersonaVersion.objects.get().pk
    everybody = people_of(PEOPLE + threads + 1)
    asker, crowd = everybody[0], everybody[1 : threads + 1]
    conversation = long_conversation(asker, version)
    ended_conversations(asker, version, LISTED, 1)
    found: dict[str, Any] = {"sizes": []}
    for size in sizes:
        say(f"{size:,} messages")
        seconds_filling = fill_up(everybody[threads + 1 :], version, size)
        found["sizes"].append(
            {
                "messages": Message.objects.count(),
                "bytes": _row("SELECT pg_database_size(current_database())")[0],
                "filled_in_s": round(seconds_filling, 1),
                "operations": Operations(asker, conversation).measure(),
            }
        )
    if partitioned:
        say("partitions")
        found["partitioned"] = in_partitions(asker, conversation)
    say(f"{threads} ask at once")
    with Load(crowd) as load:
        load.take_turns(seconds)
        load.begin_turns()
        found["under_way"] = Message.objects.filter(status=Message.Status.STREAMING).count()
        found["vacuum"] = versions_left()
    found["load"] = load.figures()
    say(f"{faqs:,} FAQs")
    found["vectors"] = vectors(faqs)
    return found


if __name__ == "__main__":
    json.dump(main(**json.load(sys.stdin)), sys.stdout)
