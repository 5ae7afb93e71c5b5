"""What is read when Prometheus asks: the connection pool, and how Redis answers. Each process tells of its own."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from time import perf_counter

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from redis import Redis

from chatbot_project.lib.postgres.base import HealingPool, open_pools
from chatbot_project.lib.redis import RedisError, blocking_redis

from . import names
from .registry import REGISTRY

log = structlog.get_logger(__name__)


class PoolCollector(Collector):
    """The connection pools of this process taken together; nothing before its first unit of work."""

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        if pools := open_pools():
            yield from _of_pools(pools)


def _of_pools(pools: Sequence[HealingPool]) -> Iterator[Metric]:
    stats = Counter[str]()
    for pool in pools:
        stats.update(pool.get_stats())
    size, idle = stats["pool_size"], stats["pool_available"]
    yield names.POOL_CONNECTIONS.family([(("in_use",), size - idle), (("idle",), idle)])
    yield names.POOL_MAX.value(stats["pool_max"])
    yield names.POOL_WAITING.value(stats["requests_waiting"])
    yield names.POOL_REQUESTS.value(stats["requests_num"])
    yield names.POOL_QUEUED.value(stats["requests_queued"])
    yield names.POOL_WAIT_SECONDS.value(stats["requests_wait_ms"] / 1000)
    yield names.POOL_ERRORS.value(stats["requests_errors"])


class RedisCollector(Collector):
    """Whether and how soon Redis answers, within the second that its client waits at most."""

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        client: Redis = blocking_redis()
        began = perf_counter()
        try:
            client.ping()
        except RedisError as error:
            names.READ_ERRORS.labels("redis").inc()
            log.warning("metrics.redis_away", error=type(error).__name__)
            yield names.REDIS_UP.value(0)
            return
        yield names.REDIS_UP.value(1)
        yield names.REDIS_SECONDS.value(perf_counter() - began)


REGISTRY.register(PoolCollector())
REGISTRY.register(RedisCollector())
