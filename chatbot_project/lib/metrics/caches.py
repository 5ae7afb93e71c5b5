"""How often what a process keeps was of use."""

from collections.abc import Callable, Iterable, Iterator
from threading import Lock

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from . import names
from .registry import REGISTRY

Counts = Callable[[], tuple[int, int]]
_caches: dict[str, Counts] = {}


def watch_cache(name: str, counts: Counts) -> None:
    """Tell of a cache from now on; ``counts`` gives its hits and misses. Call when its module is imported."""
    _caches[name] = counts


class Lookups:
    """Hits and misses of a cache that does not count itself."""

    def __init__(self, name: str) -> None:
        self._lock = Lock()
        self._hits = self._misses = 0
        watch_cache(name, lambda: (self._hits, self._misses))

    def note(self, *, hit: bool) -> None:
        with self._lock:
            self._hits += hit
            self._misses += not hit


class CacheCollector(Collector):
    """All caches that are watched."""

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        samples: list[tuple[tuple[str, ...], float]] = []
        for name, counts in sorted(_caches.items()):
            hits, misses = counts()
            samples += [((name, "hit"), hits), ((name, "miss"), misses)]
        if samples:
            yield names.CACHE_LOOKUPS.family(samples)


REGISTRY.register(CacheCollector())
