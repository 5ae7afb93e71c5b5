"""What lies elsewhere than in the database: Redis, by families of keys, and the files below VAR_DIR."""

from typing import Any

from accounts.devices import account_fingerprint
from accounts.privacy.registry import Files, RedisKeys, declare

ID_AND_COUNT = "the person's id and a count"


def _limits_of(person: Any) -> list[str]:
    codes = f"limit:code:{person.pk}*"
    return [f"limit:*{account_fingerprint(person.email)}*", codes] if person.email else [codes]


declare(
    RedisKeys(
        "limit:*",
        "Tries at signing in, codes, mail and searches",
        "a keyed hash of the address tried, the person's id, or where the try came from (an IP address or /64)",
        "until the tries are given back, an hour at most",
        _limits_of,
    ),
    RedisKeys(
        "rate:*",
        "What somebody asked of the API",
        f"{ID_AND_COUNT}; without an account where it came from",
        "as long as the longest window, an hour by default",
        lambda person: [f"rate:*:{person.pk}"],
    ),
    RedisKeys(
        "tokens:*",
        "Tokens of models used up in a day",
        ID_AND_COUNT,
        "two days",
        lambda person: [f"tokens:*:{person.pk}"],
    ),
    RedisKeys(
        "idempotency:*",
        "Answers of the API that are given again where a request is sent again",
        "what the API answered to the person",
        "a day",
        lambda person: [f"idempotency:{person.pk}:*"],
    ),
    RedisKeys(
        "ticket:*", "Tickets for the chat socket", "the person's id and what they are signed in with", "30 seconds"
    ),
    RedisKeys(
        "celery", "Tasks that wait", "ids of rows", "until a worker takes them; a task whose row is gone does nothing"
    ),
    RedisKeys("celery*", "Celery's queues by priority", "ids of rows", "as those of tasks"),
    RedisKeys("unacked*", "Tasks that a worker is at", "ids of rows", "until they are done"),
    RedisKeys("_kombu.binding.*", "Names of Celery's queues", "", "for good"),
    RedisKeys("asgi*", "Channel layer", "", "nothing is stored: it publishes alone"),
    Files("postgres", "The embedded database", "all of the above", "as its rows", "rows are erased in it"),
    Files("redis", "The embedded Redis", "", "nothing is written: it is not saved to disk"),
    Files(
        "log",
        "Logs of every process; with no mail server, the mail that would have gone out",
        "ids of people; addresses in such mail",
        "until the operator rotates them",
        "lines that name the person's id or address are blacked out in place; those that were compressed, or copied "
        "elsewhere, are out of reach: keep them for less than a backup",
    ),
    Files(
        "erasures.jsonl",
        "Log of erasures, done again after a backup is restored (ERASURE_LOG)",
        "",
        "for good: ids and addresses only as keyed hashes",
    ),
    Files("run", "Locks and sockets of the embedded parts", "", "while they run"),
    Files("secret_key", "The installation's secret", "", "for good"),
    Files("admin_password", "The first admin's password of a local installation", "", "until the operator removes it"),
    Files("audit", "Signed hashes of the audit trail", "", "for good"),
    Files("static", "Collected static files", "", "until the next update"),
    Files("celerybeat-schedule", "When each periodic task ran last", "", "for good"),
)
