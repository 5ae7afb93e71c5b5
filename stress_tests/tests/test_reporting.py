"""Pages of stress tests."""

from argparse import Namespace
from typing import Any
from xml.etree import ElementTree

from stress_tests.chaos.recoveries import RECOVERY_SECONDS, Recovery, recovery_figures
from stress_tests.chaos.reports import chaos_report, soak_report
from stress_tests.reporting import Check, Plot, Report, Series, Table, describe_machine, report_page
from stress_tests.reporting.plots import plot_svg
from stress_tests.soak_test import Soaked, figures_of

MACHINE = describe_machine()
RECOVERIES = [
    Recovery("redis killed <at once>", "redis", "kill", 0.4, [0.5, 0.9]),
    Recovery("model slow", "worker>model", "slow", None),
]


def chaos_figures(**changes: Any) -> dict[str, Any]:
    return {
        "counts": {"accepted": 1234, "stored": 1234}, "faults": 2, "violations": {}, "unsettled": [],
        **recovery_figures(RECOVERIES), "recovery_s": {"p95": 0.4}, "held_up_s": {"p95": 0.9},
    } | changes  # fmt: skip


def chaos_page(**changes: Any) -> str:
    return report_page(chaos_report(chaos_figures(**changes), Namespace(seed=7, html="/somewhere"), 1.0, MACHINE))


def test_a_page_needs_nothing_else_and_lets_nothing_of_its_words_through() -> None:
    page = chaos_page()
    assert "redis killed &lt;at once&gt;" in page
    assert "<script" not in page
    assert "http:" not in page.replace("http://www.w3.org", "")
    assert "/somewhere" not in page
    assert page.count("<svg") == 1
    picture = page[page.index("<svg") : page.index("</svg>") + 6]
    assert ElementTree.fromstring(picture).get("aria-label") == "Recovery"


def test_what_is_wanted_stands_beside_what_was_found() -> None:
    assert chaos_page().count("reached</td>") == 5
    assert "2 did not" in chaos_page(unsettled=["m1", "m2"])
    for missed in (
        {"violations": {"lost": 1}}, {"counts": {"accepted": 2, "stored": 1}}, {"unsettled": ["m1", "m2"]},
        {"recovery_s": {"p95": 2.0}}, {"held_up_s": {"p95": 2.0}},
    ):  # fmt: skip
        page = chaos_page(**missed)
        assert (page.count("reached</td>"), page.count("MISSED</td>")) == (4, 1)


def test_recovery_is_told_by_kind_of_fault_the_slowest_first() -> None:
    times = (0.3, 0.1, 0.2, None)
    slow = [Recovery(f"#{number}", "redis", "restart", seconds, [0.4, 0.5]) for number, seconds in enumerate(times)]
    figures = recovery_figures([Recovery("#9", "web", "kill", 0.05), *slow])
    nobody = {"clients": 0, "p50": 0.0, "p95": 0.0, "max": 0.0}
    assert figures["recovery_by_kind"] == [
        {"part": "redis", "kind": "restart", "times": 4, "p50": 0.2, "p95": RECOVERY_SECONDS, "max": RECOVERY_SECONDS,
         "held_up_s": {"clients": 8, "p50": 0.4, "p95": 0.5, "max": 0.5}},
        {"part": "web", "kind": "kill", "times": 1, "p50": 0.05, "p95": 0.05, "max": 0.05, "held_up_s": nobody},
    ]  # fmt: skip
    assert figures["held_up_s"] == {"clients": 8, "p50": 0.4, "p95": 0.5, "max": 0.5}
    page = report_page(chaos_report(chaos_figures(**figures), Namespace(seed=7), 1.0, MACHINE))
    assert page.index("redis: restart") < page.index("web: kill")


def test_a_soak_shows_memory_over_time_and_what_grows() -> None:
    samples = [
        {"at": 60.0 * minute, "rss/web 1": (100 + minute) * 2.0**20, "fds/web 1": 50.0, "connections/postgres": 8.0}
        for minute in range(90)
    ]
    found = Soaked(samples, [60.0 * minute for minute in range(90)], {}, {}, [])
    figures = figures_of(found, users=1, think=20, words=30, token_ms=20)
    report = soak_report(figures, samples, Namespace(users=200), MACHINE)
    verdicts = {check.name: check.verdict for check in report.checks}
    assert verdicts["rss/web 1"] == "MISSED"
    assert verdicts["fds/web 1"] == "reached"
    told = {check.name: check.found for check in report.checks}
    assert told["rss/web 1"] == "+60.00% to +60.00% an hour"  # of 100 MiB; a share of 0.6 would read as nearly nothing
    assert told["fds/web 1"] == "+0 to +0 an hour"
    memory = next(plot for plot in report.plots if plot.title == "Memory")
    assert memory.series == [Series("web 1", [(float(minute), 100.0 + minute) for minute in range(90)])]
    assert report_page(report).count("<svg") == 3


def test_points_of_nothing_are_left_out_of_a_plot() -> None:
    points = [(1.0, 2.0), (2.0, None), (3.0, 4.0)]
    assert plot_svg(Plot("P", "x", "y", [Series("s", points)])).count("<circle") == 2
    assert plot_svg(Plot("P", "x", "y", [Series("s", [(1.0, None)])])) == ""


def test_nothing_to_plot_is_no_plot() -> None:
    machine = {"processors": 1, "processor_name": "p", "python": "3", "commit": "c"}
    report = Report(
        name="x", title="X", headline="", machine=machine,
        parameters={}, checks=[Check("a", "b", "c", None)], tables=[Table("T", ("a",), [(None,)])],
        plots=[Plot("P", "x", "y", [Series("s", [])])],
    )  # fmt: skip
    page = report_page(report)
    assert "<svg" not in page
    assert "unclear" in page
