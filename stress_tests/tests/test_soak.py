"""What a soak says of its samples: what grows is found to grow, noise and steady things are not."""

import random

import pytest

from stress_tests.chaos.slope import slope, verdict
from stress_tests.soak_test import exit_code, judged

MIB = 1024 * 1024
TIMES = [10.0 * number for number in range(360)]


def rss(per_hour: float, noise: float = 0.002) -> list[float]:
    """An hour of a process of 200 MiB that grows by a share per hour."""
    chance = random.Random(3)
    return [200 * MIB * (1 + per_hour * at / 3600 + chance.gauss(0, noise)) for at in TIMES]


def samples(**series: list[float]) -> list[dict[str, float]]:
    names = {name.replace("_", "/"): values for name, values in series.items()}
    return [{"at": at, **{name: values[n] for name, values in names.items()}} for n, at in enumerate(TIMES)]


@pytest.mark.parametrize(("share", "said"), [(0.0, "holds"), (-0.05, "holds"), (0.03, "grows")])
def test_memory_is_judged_by_its_share_per_hour(share: float, said: str) -> None:
    found = slope(TIMES, rss(share)).share()
    assert found.low <= share <= found.high
    assert verdict(found, 0.01) == said


def test_short_and_noisy_run_is_unclear() -> None:
    assert verdict(slope(TIMES[:6], rss(0.0, noise=0.02)[:6]).share(), 0.01) == "unclear"


def test_samples_that_follow_each_other_closely_widen_the_interval() -> None:
    chance = random.Random(1)
    wandering, at = [], 0.0
    for _time in TIMES:
        at += chance.gauss(0, 1)
        wandering.append(at)
    shuffled = random.Random(2).sample(wandering, len(wandering))
    near, far = slope(TIMES, wandering), slope(TIMES, shuffled)
    assert near.high - near.low > 2 * (far.high - far.low)


def test_slope_of_few_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        slope([1.0, 2.0], [1.0, 2.0])


def test_steady_processes_hold_and_what_is_written_may_grow() -> None:
    found = judged(samples(rss_web0=rss(0.0), fds_web0=[40.0 + n % 3 for n in range(360)], table_m=rss(9.0)))
    assert {each["name"]: each["verdict"] for each in found["series"]} == {
        "rss/web0": "holds", "fds/web0": "holds", "table/m": "",
    }  # fmt: skip
    assert exit_code(found | {"violations": {}}) == 0
    assert exit_code(found | {"violations": {"lost": 1}}) == 1


@pytest.mark.parametrize("name", ["fds_worker1", "threads_web0", "connections_redis"])
def test_leak_of_one_in_ten_minutes_fails(name: str) -> None:
    found = judged(samples(**{name: [40.0 + at // 600 for at in TIMES]}))
    assert exit_code(found) == 1
