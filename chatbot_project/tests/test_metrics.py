"""What is said of the metrics holds: names, table, alerts, dashboards; who may read ``/metrics`` on the web port."""

import asyncio
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client, override_settings
from django.utils import timezone
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from accounts import tasks
from accounts.tests.factories import make_user
from analytics import rollups
from analytics.metrics import Unit, values
from analytics.models import RollupState
from analytics.totals import last_days, read_totals
from chatbot_project import cluster_metrics
from chatbot_project.checks import check_production
from chatbot_project.cluster_metrics import ClusterCollector, read_database, read_figures, read_redis
from chatbot_project.embedded.paths import VarPaths
from chatbot_project.embedded.supervisor import Supervisor
from chatbot_project.lib import loops
from chatbot_project.lib.metrics import caches, names, reading, serving
from chatbot_project.lib.metrics.registry import DESCRIBED, REGISTRY
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.lib.task_order import KEYS
from chatbot_project.management.commands import metrics_docs
from conversations.tests.factories import make_exchange, make_persona
from conversations.tests.stack import wait_until
from stress_tests.fake_model import closed_port

TOKEN = "a-token-for-tests-0123456789abcdef"
MONITORING = Path(django_settings.BASE_DIR) / "deploy" / "monitoring"
ALERTS = MONITORING / "alerts.yml"
DASHBOARDS = sorted((MONITORING / "grafana").glob("*.json"))
#: Of Prometheus itself, and of the library's collectors of the process.
FOREIGN = re.compile(r"up|(process|python)_[a-z_]+")
OF_TARGETS = {"job", "instance"}

_WORDS = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_KEYWORDS = {"by", "without", "on", "ignoring", "and", "or", "unless", "offset", "bool", "group_left", "group_right"}


def series_in(expression: str) -> dict[str, set[str]]:
    """The series that a PromQL expression names, each with the labels that it is matched by or grouped by."""
    plain = re.sub(r"\[[^\]]*\]", "", re.sub(r'"(?:\\.|[^"\\])*"', '""', expression))
    grouped = {
        label for group in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", plain) for label in _WORDS.findall(group)
    }
    plain = re.sub(r"\b(?:by|without)\s*\([^)]*\)", " ", plain)
    found: dict[str, set[str]] = {}
    for match in re.finditer(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\(|\{([^}]*)\})?", plain):
        name, behind, matchers = match.groups()
        if behind == "(" or name in _KEYWORDS or (match.start() and plain[match.start() - 1].isalnum()):
            continue
        labels = {re.split(r"[=!]", each)[0].strip() for each in (matchers or "").split(",") if each.strip()}
        found.setdefault(name, set()).update(labels | grouped)
    return found


def expressions() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


LABELS = {series: set(metric.labels) | OF_TARGETS for metric in DESCRIBED.values() for series in metric.series}


def wrong_in(expression: str) -> list[str]:
    """What the expression names that there is not."""
    wrong = []
    for name, labels in series_in(expression).items():
        if FOREIGN.fullmatch(name):
            known = OF_TARGETS
        elif name in LABELS:
            known = LABELS[name] | ({"le"} if name.endswith("_bucket") else set())
        else:
            wrong.append(name)
            continue
        if labels - known - _grouped_elsewhere(expression, labels - known):
            wrong.append(f"{name}{sorted(labels - known)}")
    return wrong


def _grouped_elsewhere(expression: str, labels: set[str]) -> set[str]:
    """Of ``labels``, those that another series of the expression has: ``a / b`` may group each by its own."""
    others = set().union(*(LABELS.get(name, OF_TARGETS) | {"le"} for name in series_in(expression)))
    return labels & others if len(series_in(expression)) > 1 else set()


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_alerts_and_dashboards_name_only_what_there_is(where: str, expression: str) -> None:
    assert series_in(expression), where
    assert wrong_in(expression) == [], where


def test_a_name_or_label_that_there_is_not_would_be_found() -> None:
    assert wrong_in('sum by (outcome) (rate(nono_replies_totals{outcome="x"}[5m]))') == ["nono_replies_totals"]
    assert wrong_in('rate(nono_replies_total{outcom="x"}[5m])') == ["nono_replies_total['outcom']"]
    assert wrong_in("sum by (provider) (rate(nono_replies_total[5m]))") == ["nono_replies_total['provider']"]
    assert wrong_in("nono_reply_wait_seconds") == ["nono_reply_wait_seconds"]


def test_every_metric_is_shown_or_watched_somewhere() -> None:
    used = {name for _where, expression in expressions() for name in series_in(expression)}
    unused = [metric.name for metric in DESCRIBED.values() if not used & set(metric.series)]
    assert unused == ["nono_process_info"]


def test_every_alert_says_how_urgent_it_is_and_what_it_asks_for() -> None:
    page = metrics_docs.PAGE.read_text()
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert rule["annotations"]["summary"]
            assert f"`{rule['alert']}`" in page, "what to do about it"


def test_every_metric_has_a_name_of_the_usual_form_and_a_sentence() -> None:
    for metric in DESCRIBED.values():
        assert re.fullmatch(r"nono_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.kind != "histogram" or metric.name.endswith("_seconds"), metric.name
        assert metric.help.endswith("."), metric.name
        assert not {"user", "person", "conversation", "reply", "email", "ip"} & set(metric.labels)


def test_the_table_in_the_documentation_is_that_of_the_program() -> None:
    page = metrics_docs.PAGE.read_text()
    assert page == metrics_docs.with_table(page), "run manage.py metrics_docs"


def test_the_command_writes_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{metrics_docs.BEGIN}old\n{metrics_docs.END}after\n")
    monkeypatch.setattr(metrics_docs, "PAGE", page)
    call_command("metrics_docs")
    assert page.read_text() == f"before\n{metrics_docs.BEGIN}{metrics_docs.table()}{metrics_docs.END}after\n"


def promtool(*arguments: str) -> None:
    tool = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not here: apt-get install prometheus, or PROMTOOL=its path")
    done = subprocess.run([tool, *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
)
def test_prometheus_itself_takes_configuration_and_rules(arguments: tuple[str, ...]) -> None:
    promtool(*arguments)


def test_on_one_server_prometheus_reads_every_process_by_the_names_that_compose_gives(tmp_path: Path) -> None:
    page = metrics_docs.PAGE.read_text()
    override, configuration = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    services = yaml.safe_load((MONITORING.parents[1] / "docker-compose.yml").read_text())["services"]
    beside = yaml.safe_load(override)["services"]["prometheus"]
    told = {name for name, service in services.items() if "METRICS_PORT" in service.get("environment", {})}
    for job in yaml.safe_load(configuration)["scrape_configs"]:
        (found,) = job["dns_sd_configs"]
        (name,) = found["names"]
        told.remove(name)
        assert job["job_name"] == f"nono-{name}"
        assert str(found["port"]) == services[name]["environment"]["METRICS_PORT"]
        assert set(beside["networks"]) <= set(services[name]["networks"])
    assert told == {"migrate"}
    (tmp_path / "override.yml").write_text(override)
    checking = [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    subprocess.run([*checking, tmp_path / "override.yml"], check=True, capture_output=True)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    (tmp_path / "prometheus.yml").write_text(configuration.replace("/run/secrets/metrics_token", str(token)))
    shutil.copy(ALERTS, tmp_path / "alerts.yml")
    promtool("check", "config", str(tmp_path / "prometheus.yml"))


# --- /metrics on the web port


def asked(**headers: str) -> Any:
    return Client().get("/metrics", headers=headers)


def test_without_a_token_there_is_no_such_page() -> None:
    assert asked().status_code == 404
    assert asked(Authorization="Bearer ").status_code == 404


@pytest.mark.parametrize("said", [{}, {"Authorization": "Bearer other"}, {"Authorization": f"Basic {TOKEN}"}])
@override_settings(METRICS_TOKEN=TOKEN)
def test_whoever_lacks_the_token_is_told_nothing(said: dict[str, str]) -> None:
    answer = asked(**said)
    assert (answer.status_code, answer["WWW-Authenticate"], answer.content) == (401, "Bearer", b"")


@override_settings(METRICS_TOKEN=TOKEN)
def test_whoever_shows_it_gets_the_page_of_this_process() -> None:
    answer = asked(Authorization=f"Bearer {TOKEN}")
    assert (answer.status_code, "no-store" in answer["Cache-Control"]) == (200, True)
    assert answer["Content-Type"].startswith("text/plain; version=")
    assert "nono_redis_up" in {family.name for family in text_string_to_metric_families(answer.content.decode())}


@override_settings(METRICS_TOKEN="short")
def test_a_short_token_is_an_error_in_production() -> None:
    assert "nono.E030" in {problem.id for problem in check_production(None)}


# --- reading


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_redis_that_is_away_leaves_its_sample_out_and_is_counted(settings: Any) -> None:
    before = sample("nono_metrics_read_errors_total", part="redis") or 0
    settings.REDIS_URL = f"redis://127.0.0.1:{closed_port()}/0"
    told = {family.name: family for family in reading.RedisCollector().collect()}
    assert [each.value for each in told["nono_redis_up"].samples] == [0]
    assert "nono_redis_round_trip_seconds" not in told
    assert sample("nono_metrics_read_errors_total", part="redis") == before + 1


def part_of(collector: ClusterCollector) -> dict[str, list[float]]:
    return {family.name: [each.value for each in family.samples] for family in collector.collect()}


def test_a_part_that_breaks_or_hangs_leaves_the_others_their_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_metrics, "READ_SECONDS", 0.2)
    held, asked_for = threading.Event(), []

    def breaks() -> list[Metric]:
        raise OperationalError("secret host name")

    def hangs() -> list[Metric]:
        asked_for.append(1)
        held.wait()
        return [names.TASK_QUEUE.value(7)]

    before = {part: sample("nono_metrics_read_errors_total", part=part) or 0 for part in ("database", "redis")}
    collector = ClusterCollector(database=breaks, redis=hangs)
    try:
        assert part_of(collector) == {"nono_database_up": [0]}
        assert part_of(collector) == {"nono_database_up": [0]}
        assert asked_for == [1], "one that hangs is not asked again"
        for part in ("database", "redis"):
            assert sample("nono_metrics_read_errors_total", part=part) == before[part] + 2
    finally:
        held.set()
    collector._asked["redis"].result(5)
    monkeypatch.setattr(cluster_metrics, "READ_SECONDS", 5)
    assert part_of(collector)["nono_task_queue_length"] == [7]


@pytest.mark.parametrize("most", [0, 200_000_000])
def test_redis_says_how_full_it_is_and_how_full_it_may_be(most: int) -> None:
    redis = blocking_redis()
    before = redis.config_get("maxmemory")["maxmemory"]
    redis.config_set("maxmemory", most)
    try:
        told = {family.name: [each.value for each in family.samples] for family in read_redis()}
    finally:
        redis.config_set("maxmemory", before)
    assert told["nono_redis_max_memory_bytes"] == ([most] if most else [])
    assert told["nono_redis_memory_bytes"][0] > 500_000


def test_redis_says_how_many_tasks_wait_those_that_wait_behind_others_as_well() -> None:
    redis = blocking_redis()
    before = sum(redis.llen(key) for key in KEYS)
    for key in KEYS:
        redis.rpush(key, "a task")
    try:
        assert [f.samples[0].value for f in read_redis() if f.name == "nono_task_queue_length"] == [before + len(KEYS)]
    finally:
        for key in KEYS:
            redis.rpop(key)


@pytest.mark.django_db(transaction=True)
def test_the_database_says_when_each_task_last_ended_well() -> None:
    tasks.seal_audit.apply()
    told = {family.name: family.samples for family in read_database()}
    (at,) = told["nono_task_last_success_timestamp_seconds"]
    assert (at.labels, at.value > 1.7e9) == ({"task": "accounts.tasks.seal_audit"}, True)
    assert {each.labels["state"]: each.value for each in told["nono_queue_replies"]} == {"queued": 0, "streaming": 0}


@pytest.mark.django_db(transaction=True)
def test_it_is_told_how_old_a_backup_may_be_where_none_was_ever_made(settings: Any) -> None:
    settings.BACKUP_HOURS = 26
    told = {family.name: [each.value for each in family.samples] for family in read_database()}
    assert (told["nono_backup_hours"], told["nono_task_last_success_timestamp_seconds"]) == ([26], [])


@pytest.mark.django_db(transaction=True)
def test_todays_figures_are_those_of_the_pages_and_the_api(settings: Any) -> None:
    settings.REPORT_TIME_ZONE = "Pacific/Kiritimati"
    assert read_figures() == [], "nothing is told before anything was added up"
    persona = make_persona()
    for _question in range(3):
        make_exchange(make_user(), persona=persona)
    rollups.refresh()
    figures, until = read_figures()
    zone = rollups.reporting_zone()
    today = values(read_totals(last_days(1, timezone.localdate(timezone=zone), zone)))
    told = {each.labels["name"]: each.value for each in figures.samples}
    assert told == {name: float(value) for name, value in today.items() if value is not None}
    assert (told["questions"], told["active_weekly"]) == (3, 3)
    assert {each.labels["unit"] for each in figures.samples} <= {unit.value for unit in Unit}
    assert until.samples[0].value == RollupState.objects.get().counted_until.timestamp()


@pytest.mark.django_db
def test_a_task_counts_in_its_process() -> None:
    labels = {"task": "accounts.tasks.seal_audit", "outcome": "done"}
    before = sample("nono_task_runs_total", **labels) or 0
    tasks.seal_audit.apply()
    assert sample("nono_task_runs_total", **labels) == before + 1
    assert sample("nono_tasks_running", task=labels["task"]) == 0


# --- the port


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_a_port_that_is_taken_is_tried_again(
    taken: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "AGAIN_SECONDS", 0.05)
    server = serving.MetricsServer("127.0.0.1", taken.getsockname()[1])
    server.start()
    with pytest.raises(TimeoutError):
        server.wait(0.2)
    wait_until(lambda: "metrics.not_served" in caplog.text, "its first try")
    taken.close()
    assert server.wait(20)
    server.stop()
    assert caplog.text.count("metrics.not_served") == 1


async def test_a_process_whose_loop_does_not_turn_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked by the loop's own thread, which meanwhile does nothing else."""
    monkeypatch.setattr(loops, "_turned_at", None)
    server = serving.MetricsServer("127.0.0.1", 0)
    server.start()
    port = server.wait(5)
    assert status_of(port, "/healthz") == 200  # of Celery, which has no loop
    measuring = asyncio.create_task(loops.keep_measuring_lag())
    await asyncio.sleep(0)
    assert status_of(port, "/healthz") == 200
    monkeypatch.setattr(loops, "STUCK_SECONDS", 0.0)
    assert status_of(port, "/healthz") == 503
    assert status_of(port, "/metrics") == 200
    await loops.cancel_until_done([measuring])
    assert status_of(port, "/healthz") == 200
    server.stop()


def status_of(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    return status


def test_no_port_no_server(settings: Any) -> None:
    settings.METRICS_PORT = 0
    assert serving.serve_metrics("web") is None


@pytest.mark.parametrize(
    ("first", "given"), [("9460", ["9460", "9461", "9462", "9463"]), ("", [None] * 4), ("0", ["0"] * 4)]
)
def test_what_runs_together_gets_a_port_each(first: str, given: list[str | None], tmp_path: Path) -> None:
    environment = {"METRICS_PORT": first} if first else {}
    supervisor = Supervisor(
        paths=VarPaths(tmp_path), port=1, default_model="a/b", providers=["a"], environment=environment
    )
    assert [child.environment.get("METRICS_PORT") for child in supervisor._processes()] == given


def test_cached_look_ups_are_told_by_cache() -> None:
    lookups = caches.Lookups("tests")
    lookups.note(hit=True)
    lookups.note(hit=True)
    lookups.note(hit=False)
    try:
        assert sample("nono_cache_lookups_total", cache="tests", result="hit") == 2
        assert sample("nono_cache_lookups_total", cache="tests", result="miss") == 1
    finally:
        del caches._caches["tests"]
