"""The registry that all metrics of a process are in, and what is known of each: the tables, dashboards and alerts are
checked against it.

Labels are bounded: names from settings or code, never of a person, a conversation or anything that was written.
Counting costs about a microsecond and is done per turn, tick or request; nothing is counted per token.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

# When a series began is of no use here and would double their number.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry(auto_describe=False)


@dataclass(frozen=True, slots=True)
class Described:
    """What there is to know of a metric: its ``kind`` is counter, gauge or histogram; its ``labels`` are their names;
    ``told_by`` are the processes that have it."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    told_by: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names that its samples go by."""
        if self.kind == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)


DESCRIBED: dict[str, Described] = {}


def _describe(name: str, kind: str, text: str, labels: Sequence[str], told_by: str) -> None:
    if name in DESCRIBED:
        raise ValueError(f"There are two metrics of the name {name}.")
    DESCRIBED[name] = Described(name, kind, text, tuple(labels), told_by)


def counter(name: str, text: str, labels: Sequence[str] = (), *, told_by: str) -> Counter:
    """What only grows; ``name`` ends in ``_total``."""
    _describe(name, "counter", text, labels, told_by)
    return Counter(name, text, labels, registry=REGISTRY)


def gauge(name: str, text: str, labels: Sequence[str] = (), *, told_by: str) -> Gauge:
    """What goes up and down."""
    _describe(name, "gauge", text, labels, told_by)
    return Gauge(name, text, labels, registry=REGISTRY)


def histogram(name: str, text: str, labels: Sequence[str] = (), *, buckets: Sequence[float], told_by: str) -> Histogram:
    """How often something took how long; ``name`` ends in ``_seconds``."""
    _describe(name, "histogram", text, labels, told_by)
    return Histogram(name, text, labels, registry=REGISTRY, buckets=buckets)


@dataclass(frozen=True, slots=True)
class Read:
    """A metric that is read when Prometheus asks, with ``samples`` by the values of its labels."""

    name: str

    def family(self, samples: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
        """What is sent of it. Where ``samples`` is empty it is absent."""
        known = DESCRIBED[self.name]
        kind = CounterMetricFamily if known.kind == "counter" else GaugeMetricFamily
        family = kind(self.name, known.help, labels=known.labels)
        for values, value in samples:
            family.add_metric(values, value)
        return family

    def value(self, value: float) -> Metric:
        """The same for one without labels."""
        return self.family([((), value)])


def read(name: str, text: str, labels: Sequence[str] = (), *, kind: str = "gauge", told_by: str) -> Read:
    """A metric whose value somebody else keeps: a pool, Redis, the database."""
    _describe(name, kind, text, labels, told_by)
    return Read(name)


def families() -> Iterator[Metric]:
    """All that this process would tell now."""
    yield from REGISTRY.collect()
