"""What is shipped: the image's and the compose file's own rules, and the command that readies a database."""

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.privacy import erasure_log
from accounts.tests.factories import make_user
from chatbot_project.embedded.dotenv import parse_dotenv
from chatbot_project.lib.api.late import LONGEST_WAIT
from chatbot_project.lib.db import named_lock
from chatbot_project.management.commands.runweb import KEEP_ALIVE_SECONDS
from chatbot_project.tests.compose import interpolated
from chatbot_project.tests.documents import commands_in, running
from chatbot_project.tests.image import copied_from_the_checkout, files_of_the_image, is_let_in, rules_of
from conversations.tests.stack import free_port
from faqs.models import FAQ
from personas.models import Persona

ROOT = Path(settings.BASE_DIR)
TOOLS = Path(sys.executable).parent
OWN = ("migrate", "web", "replies", "celery", "beat")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def test_the_dockerfile_has_nothing_that_its_linter_complains_of() -> None:
    done = subprocess.run([TOOLS / "hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_patterns_of_what_goes_into_the_image_are_read_as_docker_reads_them() -> None:
    rules = rules_of("# all but\n*\n!app/\n! deploy/one.py\n**/tests\n**/*.pyc\n!app/tests/kept?.py\n")
    let_in = ["app/a.py", "app/b/c.py", "deploy/one.py", "app/tests/kept1.py"]
    left_out = ["x", "x/app/a.py", "deploy", "deploy/two.py", "app/tests/a.py", "app/b/tests/c/d", "app/a.pyc", ".env"]
    assert [path for path in (*let_in, *left_out) if is_let_in(path, rules)] == let_in
    assert is_let_in("anything", [])
    with pytest.raises(ValueError, match="not read here"):
        rules_of("[ab]")


def test_the_image_has_what_its_build_names_and_nothing_that_is_not_to_be_in_it() -> None:
    files = set(files_of_the_image())
    for name in copied_from_the_checkout():
        assert name == "." or Path(name) in files, name
    assert {Path("manage.py"), Path("chatbot_project/settings.py"), Path("pyproject.toml")} <= files
    assert not [path for path in files if {"tests", ".git", ".venv", "var"} & set(path.parts) or path.name == ".env"]


def test_the_image_has_what_settings_ask_for_that_are_off_by_default() -> None:
    """TRACING stands in .env as any other setting."""
    assert "requirements-tracing.txt" in copied_from_the_checkout()
    assert "-r /tmp/requirements-tracing.txt" in (ROOT / "Dockerfile").read_text()


def test_the_compose_file_is_as_its_specification_says() -> None:
    command = [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_caddy_takes_the_proxys_settings(tmp_path: Path) -> None:
    command = [TOOLS / "caddy", "validate", "--config", "deploy/Caddyfile", "--adapter", "caddyfile"]
    environment = {"PATH": os.defpath, "SITE_ADDRESS": "https://chat.example.org", "XDG_DATA_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_client_has_the_proxy_leave_out_a_web_process() -> None:
    """Caddy's passive health checks count what breaks off on the client's side as well: an upload that is given up."""
    directives = {line.split()[0] for line in (ROOT / "deploy/Caddyfile").read_text().splitlines() if line.split()}
    assert "lb_try_duration" in directives
    assert directives & {"fail_duration", "max_fails", "unhealthy_status", "unhealthy_latency"} == set()


def test_an_answer_comes_before_a_proxy_cuts_what_is_silent() -> None:
    ingress = (ROOT / "deploy/k8s/base/ingress.yaml").read_text()
    seconds = re.findall(r"(?:(?:read|send)-timeout:|idle_timeout\.timeout_seconds=) ?\"?(\d+)", ingress)
    minutes = re.findall(r"timeout-(?:tunnel|server): (\d+)m", ingress)
    silent = [*map(int, seconds), *(60 * int(number) for number in minutes)]
    assert len(silent) == 7
    assert min(silent) >= LONGEST_WAIT + 30


def test_a_web_process_keeps_idle_connections_for_longer_than_proxies_do() -> None:
    caddy = re.findall(r"keepalive (\d+)s", (ROOT / "deploy/Caddyfile").read_text())
    balancers = re.findall(r"idle_timeout\.timeout_seconds=(\d+)", (ROOT / "deploy/k8s/base/ingress.yaml").read_text())
    told = re.findall(r"idle time-out \| (\d+) s", (ROOT / "docs/deploy-cloud.md").read_text())
    assert caddy
    assert balancers
    assert told
    assert max(map(int, (*caddy, *balancers, *told))) < KEEP_ALIVE_SECONDS


def test_every_service_is_read_only_unprivileged_bounded_and_checked(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert service["healthcheck"], name


def test_our_processes_run_as_nobody_in_particular_and_outlive_their_drain(services: dict[str, Any]) -> None:
    for name in OWN:
        assert services[name]["user"] == "10001:10001"
    for name in ("web", "replies"):
        assert int(services[name]["stop_grace_period"].rstrip("s")) > settings.REPLY_DRAIN_SECONDS + 10


def test_only_the_proxy_is_reached_from_outside_and_the_stores_reach_nothing(services: dict[str, Any]) -> None:
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    assert services["postgres"]["networks"] == services["redis"]["networks"] == ["inside"]


def test_there_are_as_many_processes_as_the_settings_say_whatever_starts_them(services: dict[str, Any]) -> None:
    with running("replicas") as left:
        given = parse_dotenv(left.take("docs/deploy.md").text)
    asked_for = [services[name]["deploy"]["replicas"] for name in ("web", "replies")]
    assert interpolated(asked_for, {}) == ["2", "1"]
    assert interpolated(asked_for, given) == ["4", "2"]
    assert services["beat"]["deploy"]["replicas"] == 1


def test_settings_for_compose_hold_new_secrets_that_production_accepts() -> None:
    made = [
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        for command in [["sh", "deploy/new_env.sh", "chat.example.org"]] * 2
    ]
    first, second = (
        dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line and not line.startswith("#"))
        for done in made
    )
    secret = {"SECRET_KEY", "AUDIT_SIGNING_KEYS", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "METRICS_TOKEN"}
    assert all(first[name] != second[name] for name in secret)
    assert all(first[name].isalnum() and second[name].isalnum() for name in secret)  # no option of any command
    environment = {"PATH": os.environ["PATH"], "VAR_DIR": str(settings.VAR_DIR), "NONO_ENV": "production"} | first
    environment["DATABASE_URL"] = f"postgresql://nono:{first['POSTGRES_PASSWORD']}@postgres/nono"
    environment["REDIS_URL"] = f"redis://:{first['REDIS_PASSWORD']}@redis:6379/0"
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_an_upgrade_keeps_the_image_before_and_renews_the_celery_worker_first() -> None:
    told = _upgrade()[0].split(" && ")
    assert told.index("docker tag nono:local nono:before") < told.index("docker compose build")
    assert told.index("docker compose up -d --no-deps celery") < told.index("docker compose up -d")


def test_an_upgrade_goes_no_further_where_its_migrations_fail() -> None:
    assert "docker compose build && docker compose run --rm migrate && docker compose up " in _upgrade()[0]


def test_whoever_has_a_file_of_the_checkout_mounted_is_started_anew(services: dict[str, Any]) -> None:
    """``git pull`` puts another file in its place, and a container goes on with the one it was started with."""
    with_files = [name for name, each in services.items() if any(v[0] == "." for v in each.get("volumes", []))]
    assert _upgrade()[0].split(" && ")[-1] == f"docker compose restart {' '.join(with_files)}"


def test_after_a_way_back_the_next_upgrade_keeps_the_version_that_served() -> None:
    upgrade, *back = _upgrade()
    backing_up = back.pop()
    images = {"nono:local": 1}
    _tag(images, [upgrade], built=2)
    _tag(images, back, built=0)
    assert (images["nono:local"], images[backing_up.split()[0].removeprefix("NONO_IMAGE=")]) == (1, 2)
    _tag(images, [upgrade], built=3)
    assert (images["nono:local"], images["nono:before"]) == (3, 1)


def _tag(images: dict[str, int], commands: list[str], *, built: int) -> None:
    """Do to ``images``, by their names, what ``docker`` is told."""
    for part in " && ".join(commands).split(" && "):
        match part.split():
            case ["docker", "tag", old, new]:
                images[new] = images[old]
            case ["docker", "compose", "build"]:
                images["nono:local"] = built


def _upgrade() -> list[str]:
    """What deploy.md tells to run, first of it the upgrade itself."""
    section = (ROOT / "docs/deploy.md").read_text().partition("\n## Upgrade\n")[2].partition("\n## ")[0]
    return [command.plain for command in commands_in("docs/deploy.md", section)]


@pytest.mark.django_db
def test_a_new_database_is_made_ready_once() -> None:
    call_command("prepare", stdout=StringIO())
    found = Persona.objects.count(), FAQ.objects.count()
    assert min(found) > 0
    call_command("prepare", stdout=StringIO())
    assert (Persona.objects.count(), FAQ.objects.count()) == found


@pytest.mark.django_db
def test_a_restored_database_is_not_ready_before_erasures_are_done_again(settings: Any, tmp_path: Path) -> None:
    settings.ERASURE_LOG = tmp_path / "erasures.jsonl"
    entry = erasure_log.note_begun(uuid4(), make_user())
    call_command("prepare", stdout=StringIO())
    entry.delete()  # as a restored backup lacks it
    with pytest.raises(CommandError, match="1 to be replayed"):
        call_command("prepare", stdout=StringIO())
    call_command("replay_erasures", stdout=StringIO())
    call_command("prepare", stdout=StringIO())


def test_a_process_that_does_not_answer_is_not_well() -> None:
    environment = {"PATH": os.defpath, "PORT": str(free_port())}
    command = [sys.executable, "deploy/healthcheck.py", "web"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "web:" in done.stderr


def test_only_one_readies_a_database_at_a_time(transactional_db: None) -> None:
    with named_lock("prepare") as is_mine:
        assert is_mine
        with pytest.raises(CommandError, match="Another"):
            call_command("prepare", stdout=StringIO())
