"""``python -m stress_tests.bench_audit``: what the audit trail costs.

One writer records events, each in a transaction of its own, on a durable PostgreSQL (every commit waits for the disk)
of its own in a temporary directory, while the sealer chains them; then the whole trail is verified. And for how long
others wait while one transaction records 2000 events: as it is, and if events were chained as they are recorded.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chatbot_project.embedded.paths import VarPaths, default_database_url, default_redis_url
from chatbot_project.embedded.postgres import EmbeddedPostgres

TARGET = 500.0  # events per second, one writer
SEAL_EVERY_S = 0.5
IMPORTED = 2000  # events of the one long transaction


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000)
    events: int = parser.parse_args().events
    directory = Path(tempfile.mkdtemp(prefix="nono-bench-")).resolve()
    postgres = EmbeddedPostgres(VarPaths(directory), dies_with_parent=True)
    try:
        postgres.start()
        os.environ |= {
            "NONO_ENV": "local", "SECRET_KEY": "only-for-this-bench", "VAR_DIR": str(directory), "LOG_LEVEL": "WARNING",
            "DATABASE_URL": default_database_url(directory), "REDIS_URL": default_redis_url(directory),
            "DJANGO_SETTINGS_MODULE": "chatbot_project.settings",
        }  # fmt: skip
        result = measure(events)
    finally:
        postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)
    print(json.dumps(result, indent=2))
    reached = result["recorded_per_s"] >= TARGET and result["whole"]
    print(
        f"{result['recorded_per_s']:.0f} events/s by one writer; target {TARGET:.0f}: {'met' if reached else 'MISSED'}"
    )
    sys.exit(not reached)


def measure(events: int) -> dict[str, Any]:
    """All figures, on the database that the environment names."""
    import django

    django.setup()
    from django.core.management import call_command

    from accounts.audit import chain
    from accounts.audit.verifying import verify
    from accounts.models import User
    from accounts.services import record_audit

    call_command("migrate", interactive=False, verbosity=0)
    person, other = (User.objects.create_user(f"person{n}@bench.invalid") for n in range(2))

    def record() -> None:
        record_audit(actor=person, action="bench.done", obj=other, details={"fields": ["a", "b"], "count": 3})

    for _ in range(200):
        record()  # connections and plans
    chain.seal()
    done = threading.Event()
    sealer = threading.Thread(target=in_thread(lambda: seal_until(done)))
    sealer.start()
    recorded_s = timed(lambda: again(record, events))
    done.set()
    sealer.join()
    result: dict[str, Any] = {"events": events, "recorded_per_s": round(events / recorded_s)}
    reasoned_s = timed(lambda: again(lambda: _with_reason(record_audit, person, other), events // 2))
    result["recorded_with_a_reason_per_s"] = round(events / 2 / reasoned_s)
    for _ in range(events):
        record()
    before = time.perf_counter()
    result["sealed_per_s"] = round(chain.seal() / (time.perf_counter() - before))
    verdicts = []
    verified_s = timed(lambda: verdicts.append(verify()))
    result["verified_per_s"] = round(verdicts[0].links / verified_s)
    result["whole"] = verdicts[0].is_whole
    result["longest_wait_behind_an_import_ms"] = {
        "sealed_later": longest_wait(record, chained=False),
        "chained_as_recorded": longest_wait(record, chained=True),
    }
    return result


def _with_reason(record: Callable[..., Any], person: Any, other: Any) -> None:
    record(actor=person, action="bench.done", obj=other, reason="A report of abuse, ticket 12")


def longest_wait(record: Callable[[], None], *, chained: bool) -> float:
    """The longest that recording one event took, in ms, while another transaction recorded ``IMPORTED``.

    ``chained`` takes the chain's lock before each event and keeps it until the commit, as chaining would have to.
    """
    from django.db import connection, transaction

    from accounts.audit.chain import SEALER_LOCK

    running, over = threading.Event(), threading.Event()

    def once() -> None:
        with transaction.atomic():
            if chained:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SEALER_LOCK])
            record()

    def long_one() -> None:
        with transaction.atomic():
            for _ in range(IMPORTED):
                once()
                running.set()
        over.set()

    importer = threading.Thread(target=in_thread(long_one))
    importer.start()
    running.wait()
    waits = []
    while not over.is_set():
        waits.append(timed(once))
    importer.join()
    return round(max(waits) * 1000, 1)


def seal_until(done: threading.Event) -> None:
    from accounts.audit import chain

    while not done.wait(SEAL_EVERY_S):
        chain.seal()
    chain.seal()


def in_thread(work: Callable[[], None]) -> Callable[[], None]:
    """``work``, after which the thread's connection is given back."""

    def run() -> None:
        from django.db import connections

        try:
            work()
        finally:
            connections.close_all()

    return run


def again(work: Callable[[], object], times: int) -> None:
    """``work()`` so many times."""
    for _ in range(times):
        work()


def timed(work: Callable[[], Any]) -> float:
    """Seconds that it took."""
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


if __name__ == "__main__":
    main()
