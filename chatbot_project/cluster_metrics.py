"""What Prometheus is told of the installation as a whole, read from PostgreSQL and Redis when it asks.

Beat alone tells it: there is one, so nothing is counted twice, and it goes on when no worker does. A part that does not
answer within READ_SECONDS leaves its samples out and is counted; the page is sent all the same.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter

import structlog
from django.conf import settings
from django.utils import timezone
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from analytics.metrics import METRICS
from analytics.models import RollupState
from analytics.rollups import reporting_zone
from analytics.totals import last_days, read_totals
from chatbot_project.lib.db import ending_within
from chatbot_project.lib.metrics import names
from chatbot_project.lib.metrics.registry import REGISTRY
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.lib.task_order import KEYS
from chatbot_project.models import TaskRecord
from conversations.replies import queue
from conversations.replies.heartbeat import HEARTBEAT_KEY

log = structlog.get_logger(__name__)

READ_SECONDS = 3.0
Reading = Callable[[], list[Metric]]


class ClusterCollector(Collector):
    """Reads each part in a thread of its own. One that still hangs from the last time is not asked again."""

    def __init__(self, **parts: Reading) -> None:
        self._parts = parts
        self._threads = ThreadPoolExecutor(len(self._parts), thread_name_prefix="cluster")
        self._asked: dict[str, Future[list[Metric]]] = {}

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        deadline = perf_counter() + READ_SECONDS
        for part, read in self._parts.items():
            if part not in self._asked or self._asked[part].done():
                self._asked[part] = self._threads.submit(read)
        for part, asked in list(self._asked.items()):
            try:
                yield from asked.result(max(0.0, deadline - perf_counter()))
            except Exception as error:  # whatever the part has: the page is for the others, too
                names.READ_ERRORS.labels(part).inc()
                log.warning("metrics.not_read", part=part, error=type(error).__name__)
                if part == "database":
                    yield names.DATABASE_UP.value(0)


def read_database() -> list[Metric]:
    """The queue of replies, when each task last ended well, and how old the last backup may be: with the others, or an
    alert would take a database that is away for one without backups. Raises Django's database errors."""
    began = perf_counter()
    with ending_within(READ_SECONDS):
        depth = queue.depth()
        done = TaskRecord.objects.exclude(succeeded_at=None).values_list("name", "succeeded_at")
        succeeded = [((name,), at.timestamp()) for name, at in done if at is not None]
    return [
        names.DATABASE_UP.value(1),
        names.DATABASE_SECONDS.value(perf_counter() - began),
        names.QUEUE_DEPTH.family([(("queued",), depth.queued), (("streaming",), depth.streaming)]),
        names.QUEUE_OLDEST.value(depth.oldest_wait),
        names.TASK_LAST_SUCCESS.family(succeeded),
        names.BACKUP_HOURS.value(settings.BACKUP_HOURS),
    ]


def read_redis() -> list[Metric]:
    """How many tasks wait, whether a reply worker is there, and how full Redis is. Raises RedisError."""
    pipe = blocking_redis().pipeline(transaction=False)
    for key in KEYS:
        pipe.llen(key)
    pipe.exists(HEARTBEAT_KEY)
    pipe.info("memory")
    *waiting, heard, memory = pipe.execute()
    most = memory.get("maxmemory", 0)
    return [
        names.TASK_QUEUE.value(sum(waiting)),
        names.WORKER_HEARD.value(heard),
        names.REDIS_MEMORY.value(memory["used_memory"]),
        names.REDIS_MEMORY_MAX.family([((), most)] if most else []),
    ]


def read_figures() -> list[Metric]:
    """Today's figures of the whole organisation, as far as they are added up. Raises Django's database errors."""
    with ending_within(READ_SECONDS):
        zone = reporting_zone()
        until = RollupState.objects.values_list("counted_until", flat=True).first()
        if until is None:
            return []
        totals = read_totals(last_days(1, timezone.localdate(timezone=zone), zone))
    values = {metric: metric.of(totals) for metric in METRICS.values()}
    figures = [((each.name, each.unit.value), float(value)) for each, value in values.items() if value is not None]
    return [names.FIGURE.family(figures), names.FIGURES_UNTIL.value(until.timestamp())]


def register() -> None:
    """Tell of the installation from now on, in this process."""
    REGISTRY.register(ClusterCollector(database=read_database, redis=read_redis, figures=read_figures))
