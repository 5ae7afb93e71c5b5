"""What locust found, from its JSON and the history that it writes as CSV, as a report."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..reporting import Check, Plot, Report, Series, Table, exactly, ms, parameters_of
from ..reporting.command import Options

#: How the names begin of what each kind of people alone does.
OF_KINDS = {"readers": "page: ", "programs": "API: ask", "tabs": "chat: ended"}
#: Of a turn, of which "chat: ended" tells as a request: times alone.
STEPS = frozenset({"chat: accepted", "chat: first text"})
#: Locust keeps times to two digits: 1,000 ms may be 1,049.
BELOW_FIRST_TEXT_MS = 1000.0
AGGREGATED = "Aggregated"
ENDED = frozenset({"completed", "stopped", "interrupted", "failed"})


def figures_of(stats: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each kind of request: number, failures, rate from the first answer of any kind to the last, percentiles in
    milliseconds."""
    began = min((each["start_time"] for each in stats), default=0.0)
    seconds = max((each["last_request_timestamp"] for each in stats), default=0.0) - began
    return [
        {
            "name": each["name"],
            "requests": each["num_requests"],
            "failures": each["num_failures"],
            "per_s": round(each["num_requests"] / seconds, 2) if seconds else 0.0,
            **{f"p{share}": percentile(each["response_times"], share / 100) for share in (50, 95, 99)},
            "max": each["max_response_time"],
        }
        for each in sorted(stats, key=lambda each: str(each["name"]))
    ]


def percentile(times: Mapping[str, int], share: float) -> float:
    """Of a count by milliseconds, as locust keeps it; 0 where there are none."""
    total, so_far = sum(times.values()), 0
    for time in sorted(times, key=float):
        so_far += times[time]
        if so_far >= share * total:
            return float(time)
    return 0.0


def history_of(text: str) -> list[dict[str, float]]:
    """By the second: users, what locust counted and what failed of it a second, P95 of all of it of the last ten;
    steps of turns are among it."""
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["Name"] == AGGREGATED]
    begun = int(rows[0]["Timestamp"]) if rows else 0
    return [
        {
            "at": int(row["Timestamp"]) - begun,
            "users": float(row["User Count"]),
            "per_s": float(row["Requests/s"]),
            "failures_per_s": float(row["Failures/s"]),
            "p95": float(row["95%"]) if row["95%"] != "N/A" else 0.0,
        }
        for row in rows
    ]


def errors_of(text: str) -> list[dict[str, Any]]:
    """What was raised in tasks, which counts as no request: each error, how often, and where."""
    return [
        {"error": row["Message"], "occurrences": int(row["Count"]), "traceback": row["Traceback"]}
        for row in csv.DictReader(io.StringIO(text))
    ]


def judged(found: Mapping[str, Any]) -> Iterator[Check]:
    """Every kind of person got something done, nothing failed or broke, the first text is not late, and every reply
    ended as it was sent."""
    requests = found["requests"]
    failed = {each["name"]: each["failures"] for each in requests if each["failures"]}
    told = "; ".join(f"{name}: {number}" for name, number in failed.items())
    yield Check("requests that failed", "none", told or "none", not failed)
    yield exactly("errors in tasks", sum(each["occurrences"] for each in found["errors"]), 0)
    for kind, begins in OF_KINDS.items():
        number = sum(each["requests"] - each["failures"] for each in requests if each["name"].startswith(begins))
        yield Check(f"what {kind} got done (“{begins.strip(': ')}”)", "some", f"{number:,}", number > 0)
    first = next((each["p95"] for each in requests if each["name"] == "chat: first text"), None)
    within = first is not None and first < BELOW_FIRST_TEXT_MS
    yield Check("first text, P95", f"< {BELOW_FIRST_TEXT_MS:,g} ms", ms(first), within)
    live = sum(number for status, number in found["audit"]["replies"].items() if status not in ENDED)
    yield exactly("replies in the database without an end", live, 0)
    yield exactly("replies in the database that differ from the model's", found["audit"]["wrong_text"], 0)


def report_of(found: Mapping[str, Any], options: Options, machine: Mapping[str, Any]) -> Report:
    requests, history = found["requests"], found["history"]
    total = sum(each["requests"] for each in requests if each["name"] not in STEPS)
    failures = sum(each["failures"] for each in requests)
    whole = next((each["requests"] - each["failures"] for each in requests if each["name"] == "chat: ended"), 0)
    return Report(
        name="locust",
        title="Locust",
        headline=f"{options.users:,} people: {total:,} requests, {whole:,} of them whole turns by WebSocket; "
        f"{failures:,} failed.",
        machine=machine,
        parameters=parameters_of(options),
        checks=list(judged(found)),
        tables=[
            Table("Requests", ("what", "number", "failed", "a second", "P50 ms", "P95 ms", "P99 ms", "max ms"), [
                (each["name"], each["requests"], each["failures"], each["per_s"], each["p50"], each["p95"],
                 each["p99"], float(each["max"] or 0))
                for each in requests
            ]),
            *([Table("What failed", ("what", "number"), [
                *((f"{each['name']}: {each['error']}", each["occurrences"]) for each in found["failures"]),
                *((f"in a task: {each['error']}", each["occurrences"]) for each in found["errors"]),
            ])] if found["failures"] or found["errors"] else []),
        ],
        plots=[
            Plot("P95 of requests and of turns' steps", "seconds", "ms", [
                Series("P95", [(row["at"], row["p95"]) for row in history]),
            ]),
            Plot("People, requests and turns' steps", "seconds", "number", [
                Series("people", [(row["at"], row["users"]) for row in history]),
                Series("requests and steps a second", [(row["at"], row["per_s"]) for row in history]),
            ]),
        ],
    )  # fmt: skip
