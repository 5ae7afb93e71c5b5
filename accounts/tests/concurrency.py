"""Several who do the same at once, none of them served before the others have begun."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection, connections, transaction


def at_a_lock(count: int, lock: Callable[[], Any], work: Callable[[int], Any]) -> list[Any]:
    """What ``work(number)`` gives in that many threads, each on its own connection, that all stand before what
    ``lock`` holds when it is let go. For tests with ``transaction=True``."""

    def run(number: int) -> Any:
        try:
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        with transaction.atomic():
            lock()
            results = [pool.submit(run, number) for number in range(count)]
            deadline = time.monotonic() + 20
            while _waiting() < count and time.monotonic() < deadline:
                time.sleep(0.01)
            assert _waiting() >= count
        return [result.result() for result in results]


def _waiting() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
        found: int = cursor.fetchone()[0]
    return found
