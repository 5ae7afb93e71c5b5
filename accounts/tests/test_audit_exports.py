"""The trail in the admin, found by filters and taken away as files, by admins alone."""

import csv
import hashlib
import io
import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from accounts import audit
from accounts.audit import chain
from accounts.audit.checkpoints import read_file
from accounts.models import AuditEvent, AuditLink, User
from accounts.services import record_audit

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/auditevent/"


@pytest.fixture(autouse=True)
def _own_files(settings, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


@pytest.fixture
def events(owner: User, other: User) -> dict[str, AuditEvent]:
    return {
        "a": record_audit(actor=owner, action="test.first", obj=other, reason="=1+1 is a formula"),
        "b": record_audit(actor=other, action="test.second", obj=AuditEvent, details={"n": "=2"}),
        "c": record_audit(actor=None, action="test.third", obj=other),
    }


def shown(view: Client, events: dict[str, AuditEvent], **query: str) -> str:
    """Which of the events the list shows."""
    page = view.get(LIST, query).content.decode()
    return "".join(name for name, event in events.items() if f"{LIST}{event.pk}/change/" in page)


def test_admins_alone_see_it(owner: User, moderator: User, guest: User, admin: User, browser, client: Client) -> None:
    event = record_audit(actor=owner, action="test.done", obj=owner)
    for view in (client, browser(owner), browser(guest)):
        for page in (LIST, f"{LIST}{event.pk}/change/"):
            assert view.get(page).status_code == 302
    for page in (LIST, f"{LIST}{event.pk}/change/"):
        assert browser(moderator).get(page).status_code == 403
        assert browser(admin).get(page).status_code == 200
    post = {"action": "export_csv", "_selected_action": [event.pk]}
    assert browser(moderator).post(LIST, post).status_code == 403
    assert client.post(LIST, post).status_code == 302
    assert not AuditEvent.objects.filter(action="audit.exported").exists()


def test_filters(admin: User, owner: User, other: User, events: dict[str, AuditEvent], browser) -> None:
    view = browser(admin)
    assert shown(view, events) == "abc"
    assert shown(view, events, action="test.second") == "b"
    assert shown(view, events, object_type="accounts.user") == "ac"
    for name in (owner.username, "OWNER", owner.email, str(owner.pk), str(owner.audit_identity.pseudonym)):
        assert shown(view, events, by=name) == "a", name
    assert shown(view, events, by="own") == "", "no part of a name"
    assert shown(view, events, about=other.username) == "ac"
    assert shown(view, events, by=owner.username, about=other.username) == "a"
    assert shown(view, events, object=str(other.audit_identity.pseudonym)) == "ac"
    today, never = f"{events['a'].at:%Y-%m-%d}", "2001-01-01"
    assert shown(view, events, since=today, until=today) == "abc"
    assert (shown(view, events, since="2999-01-01"), shown(view, events, until=never)) == ("", "")
    for bad in ("2026-02-31", "quokka", "0000-00-00"):
        assert shown(view, events, since=bad) == "abc"


def test_a_pseudonym_that_nobody_bears_is_found_still(
    admin: User, owner: User, events: dict[str, AuditEvent], browser
) -> None:
    pseudonym = str(owner.audit_identity.pseudonym)
    audit.forget(owner)
    view = browser(admin)
    assert shown(view, events, by=pseudonym) == "a"
    assert shown(view, events, by=owner.username) == ""


def export(view: Client, kind: str, *chosen: AuditEvent) -> str:
    answer = view.post(LIST, {"action": f"export_{kind}", "_selected_action": [event.pk for event in chosen]})
    assert answer.status_code == 200
    assert 'filename="audit-' in answer["Content-Disposition"]
    assert "no-store" in answer["Cache-Control"]
    return answer.content.decode()


def test_csv_is_safe_in_a_spreadsheet_and_recorded(admin: User, events: dict[str, AuditEvent], browser) -> None:
    chain.seal()
    rows = list(csv.DictReader(io.StringIO(export(browser(admin), "csv", *events.values()))))
    assert [row["action"] for row in rows] == ["test.first", "test.second", "test.third"]
    assert rows[0]["reason"] == "'=1+1 is a formula"
    assert (rows[0]["actor_name"], rows[0]["subject_name"], rows[2]["actor_name"]) == ("owner", "other", "")
    assert [int(row["number"]) for row in rows] == [1, 2, 3]
    event = AuditEvent.objects.get(action="audit.exported")
    assert event.details == {"events": 3, "format": "csv"}


def test_from_json_lines_anybody_computes_the_chain(admin: User, events: dict[str, AuditEvent], browser) -> None:
    chain.seal()
    unsealed = record_audit(actor=admin, action="test.late", obj=admin)
    lines = export(browser(admin), "jsonl", *events.values(), unsealed).splitlines()
    entries = [json.loads(line) for line in lines]
    before = bytes(32)
    for entry in entries[:3]:
        text = json.dumps(entry["event"], sort_keys=True, separators=(",", ":"))
        before = hashlib.sha256(before + text.encode()).digest()
        assert entry["hash"] == before.hex()
    assert (entries[3]["number"], entries[3]["hash"]) == (None, None)
    assert entries[0]["names"] == {"actor_name": "owner", "subject_name": "other", "reason": "=1+1 is a formula"}


def test_too_many_for_a_file_are_refused(admin: User, events: dict[str, AuditEvent], browser, monkeypatch) -> None:
    monkeypatch.setattr("accounts.admin_audit.EXPORTED", 2)
    view = browser(admin)
    chosen = [event.pk for event in events.values()]
    answer = view.post(LIST, {"action": "export_csv", "_selected_action": chosen}, follow=True)
    assert b"A file holds 2 events at most, and these are 3." in answer.content
    assert not AuditEvent.objects.filter(action="audit.exported").exists()


def test_the_command_writes_files_without_names_unless_asked(
    events: dict[str, AuditEvent], tmp_path: Path, owner: User
) -> None:
    chain.seal()
    call_command("export_audit", tmp_path / "trail.jsonl")
    bare = (tmp_path / "trail.jsonl").read_text()
    assert "formula" not in bare
    assert owner.username not in bare
    assert [json.loads(line)["number"] for line in bare.splitlines()] == [1, 2, 3]
    call_command("export_audit", tmp_path / "trail.csv", names=True)
    assert "'=1+1 is a formula" in (tmp_path / "trail.csv").read_text()
    out = StringIO()
    call_command("export_audit", "-", stdout=out)
    assert len(out.getvalue().splitlines()) == 3 + 2
    assert [event.action for event in AuditEvent.objects.all()[:3]] == ["audit.exported"] * 3
    with pytest.raises(CommandError, match="absent"):
        call_command("export_audit", tmp_path / "absent" / "trail.csv")


def test_the_command_writes_checkpoints_for_keeping_elsewhere(events: dict[str, AuditEvent], tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    call_command("export_audit", kept, checkpoints=True, stdout=StringIO())
    record_audit(actor=None, action="test.more", obj=AuditEvent)
    call_command("export_audit", kept, checkpoints=True, stdout=StringIO())
    assert [each.number for each in read_file(kept)] == [3, 4]
    assert AuditLink.objects.count() == 4
    call_command("verify_audit", checkpoint=[kept], stdout=StringIO())
