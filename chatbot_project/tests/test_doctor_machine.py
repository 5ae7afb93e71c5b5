"""``manage.py doctor``: clock, disk, time zone and settings."""

import errno
import os
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from chatbot_project.doctor import machine
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.tests.doctor_running import examined
from chatbot_project.tests.doctor_servers import http_server


@pytest.mark.django_db(transaction=True)
def test_clocks_that_agree_and_one_that_does_not(settings: Any) -> None:
    settings.LLM_PROVIDERS = {}
    assert examined("clock")["clock"].status == "ok"
    with http_server({}, (200, {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, b"{}")) as url:
        settings.LLM_PROVIDERS = {"late": Provider("late", url)}
        found = examined("clock")["clock"]
    assert found.status == "failed"
    assert "late -" in found.found
    assert "NTP" in found.fix


def test_a_clock_is_not_blamed_for_what_lies_within_a_request_or_a_step() -> None:
    now = time.time()
    assert machine.skew_of(now, now - 1, now + 1) == 0
    assert machine.skew_of(now - 1.5, now - 1, now, step=1.0) == 0
    assert machine.skew_of(now + 5, now - 1, now) == pytest.approx(5)
    assert machine.skew_of(now - 5, now - 1, now) == pytest.approx(-4)


@pytest.fixture
def written(settings: Any, tmp_path: Path) -> Path:
    """As in the image: VAR_DIR itself cannot be written to, and what is written lies in volumes or will be made."""
    settings.IS_LOCAL, settings.BACKUP_HOURS, settings.VAR_DIR = False, 26, tmp_path
    settings.ERASURE_LOG, settings.BACKUP_DIR = tmp_path / "erasures" / "erasures.jsonl", tmp_path / "backups"
    return tmp_path


def test_only_what_is_written_is_tried(written: Path, settings: Any) -> None:
    assert list(machine.written_folders()) == ["ERASURE_LOG", "VAR_DIR/audit", "BACKUP_DIR"]
    found = examined("disk")
    assert set(found) == {"disk", "disk ERASURE_LOG"}
    assert found["disk"].status in {"ok", "warning"}
    assert found["disk"].found.endswith("are free for ERASURE_LOG, VAR_DIR/audit, BACKUP_DIR")
    assert list(written.iterdir()) == []
    settings.BACKUP_HOURS = 0  # others make backups
    assert "BACKUP_DIR" not in machine.written_folders()
    settings.IS_LOCAL = True
    assert machine.written_folders()["VAR_DIR"] == written


def test_each_folder_that_cannot_be_written_to_is_told_with_its_setting(written: Path, settings: Any) -> None:
    (written / "file").touch()
    settings.ERASURE_LOG, settings.BACKUP_DIR = Path("/proc/erasures/log"), written / "file"
    found = examined("disk")
    assert "/proc cannot be written to" in found["disk ERASURE_LOG"].found
    assert found["disk ERASURE_LOG"].fix.endswith("or set ERASURE_LOG.")
    assert "file cannot be written to" in found["disk BACKUP_DIR"].found
    assert [found[f"disk {name}"].status for name in ("ERASURE_LOG", "BACKUP_DIR")] == ["failed", "failed"]
    assert found["disk VAR_DIR/audit"].status in {"ok", "warning"}
    settings.VAR_DIR = Path("/proc")
    assert examined("disk")["disk VAR_DIR/audit"].fix.endswith("or set VAR_DIR.")


def test_a_process_that_makes_no_backups_needs_no_disk_for_them(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(**_where: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(machine.tempfile, "NamedTemporaryFile", read_only)
    found = examined("disk")
    assert found["disk BACKUP_DIR"].status == "skipped"
    assert [found[f"disk {name}"].status for name in ("ERASURE_LOG", "VAR_DIR/audit")] == ["failed", "failed"]


def test_a_disk_that_is_nearly_full_is_told(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SCARCE", float("inf"))
    assert examined("disk")["disk"].status == "warning"
    monkeypatch.setattr(machine, "NO_BYTES", float("inf"))
    assert examined("disk")["disk"].status == "failed"


@pytest.mark.django_db(transaction=True)
def test_a_time_zone_that_postgresql_does_not_know_is_told(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*arguments: object, **named: object) -> None:
        return None

    assert examined("time-zone")["time-zone"].status == "ok"
    monkeypatch.setattr(machine, "in_database", unknown)
    assert "tzdata" in examined("time-zone")["time-zone"].fix


STRONG = "qL8xV2nR5tYw7zB3mK9pD4sF6gH1jC0aXeUiOoPlMkNj5bVcZ"


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("SECRET_KEY", "insecure-local-key", "SECRET_KEY"),
        ("SECRET_KEY", "a" * 60, "SECRET_KEY"),
        ("JWT_SIGNING_KEYS", ["short"], "JWT_SIGNING_KEYS"),
        ("METRICS_TOKEN", "short", "METRICS_TOKEN"),
    ],
)
def test_a_secret_that_can_be_guessed_is_named_and_not_shown(settings: Any, name: str, value: Any, part: str) -> None:
    setattr(settings, name, value)
    assert examined("secrets")[f"secrets {part}"].status == "warning"
    settings.IS_LOCAL = False
    found = examined("secrets")[f"secrets {part}"]
    assert found.status == "failed"
    assert 'short"' not in found.found


def test_good_secrets_pass_and_one_of_two_purposes_is_warned_of(settings: Any) -> None:
    assert examined("secrets")["secrets"].status == "ok"
    settings.JWT_SIGNING_KEYS = settings.AUDIT_SIGNING_KEYS = [STRONG]
    assert "two purposes" in examined("secrets")["secrets shared"].found
    settings.AUDIT_SIGNING_KEYS, settings.DATABASE_URL = [], "postgresql://nono:weak@db.internal/nono"
    settings.METRICS_PORT, settings.METRICS_BIND = 9460, "0.0.0.0"
    found = examined("secrets")
    assert {"secrets DATABASE_URL", "secrets METRICS_BIND"} < set(found)


def test_settings_of_production_are_held_against_the_deployment_checks(settings: Any) -> None:
    assert examined("production")["production"].status == "skipped"
    settings.BASE_URL = "http://chat.example.org"
    assert "Add chat.example.org" in examined("production")["production"].fix
    settings.IS_LOCAL, settings.DEBUG = False, True
    found = examined("production")
    assert (found["production nono.E006"].status, found["production nono.E007"].fix) == ("failed", "Unset DEBUG.")
