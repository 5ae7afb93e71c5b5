"""Whatever is done to the audit trail by force is found, and named. Each test fails where the trail is believed."""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import ProgrammingError, connection, connections, transaction

from accounts import tasks
from accounts.audit import chain, checkpoints, guards
from accounts.audit.checkpoints import Checkpoint, make_checkpoint, read_file
from accounts.audit.verifying import Verdict, verify
from accounts.models import AuditEvent, AuditLink, AuditWaiting, User
from accounts.services import record_audit
from accounts.tests.factories import make_user

pytestmark = pytest.mark.django_db

TABLES = guards.APPEND_ONLY


@pytest.fixture(autouse=True)
def _own_files(settings, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


@pytest.fixture
def trail(owner: User) -> list[AuditEvent]:
    """Nine events in the chain, with a checkpoint at the sixth."""
    events = [record_audit(actor=owner, action="test.done", obj=owner, details={"n": n}) for n in range(6)]
    make_checkpoint()
    events += [record_audit(actor=None, action="test.done", obj=owner, reason=f"because {n}") for n in range(3)]
    chain.seal()
    return events


def sql(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


@contextmanager
def without_guards() -> Iterator[None]:
    """As the tables' owner can, and leaves no other trace of."""
    for table in TABLES:
        sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    yield
    for table in TABLES:
        sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def first_problem() -> str:
    return verify().problems[0]


def test_an_untouched_trail_is_whole(trail: list[AuditEvent]) -> None:
    assert verify() == Verdict(links=9, waiting=0, checkpoints=1, problems=[], notes=verify().notes)
    assert list(AuditLink.objects.order_by("number").values_list("number", "event_id")) == [
        (number, event.pk) for number, event in enumerate(trail, start=1)
    ]


def test_what_is_not_sealed_yet_is_no_problem(trail: list[AuditEvent], owner: User) -> None:
    record_audit(actor=owner, action="test.done", obj=owner)
    verdict = verify()
    assert (verdict.is_whole, verdict.waiting) == (True, 1)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}", "TRUNCATE {} CASCADE"])
def test_the_database_refuses_to_change_or_empty_it(trail: list[AuditEvent], table: str, statement: str) -> None:
    column = "action" if table == TABLES[0] else "number"
    with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic():
        sql(statement.format(table, column, column))
    assert verify().is_whole


CHANGES = {
    "action": "action = 'test.forged'",
    "time": "at = at + interval '1 microsecond'",
    "actor": "actor_pseudonym = gen_random_uuid()",
    "no actor": "actor_pseudonym = NULL",
    "subject": "subject_pseudonym = NULL",
    "object type": "object_type = 'x'",
    "object": "object_id = 'x'",
    "details": 'details = \'{"n": 3, "m": 0}\'',
    "reason": "sealed_reason = 'x'",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_event_is_named(trail: list[AuditEvent], change: str) -> None:
    with without_guards():
        sql(f"UPDATE accounts_auditevent SET {change} WHERE id = %s", trail[3].pk)
    assert first_problem() == f"link 4: event {trail[3].pk} was changed or moved"
    assert verify().links == 3


def test_a_removed_event_is_named(trail: list[AuditEvent]) -> None:
    with without_guards():
        sql("DELETE FROM accounts_auditevent WHERE id = %s", trail[3].pk)
    assert first_problem() == f"link 4: event {trail[3].pk} is missing"


def test_a_gap_is_named(trail: list[AuditEvent]) -> None:
    with without_guards():
        sql("DELETE FROM accounts_auditevent WHERE id = %s", trail[3].pk)
        sql("DELETE FROM accounts_auditlink WHERE number = 4")
    assert first_problem() == "gap: link 4 is missing, the next is 5"


def test_a_gap_that_was_closed_is_named(trail: list[AuditEvent]) -> None:
    with without_guards():
        sql("DELETE FROM accounts_auditevent WHERE id = %s", trail[3].pk)
        sql("DELETE FROM accounts_auditlink WHERE number = 4")
        for number in range(5, 10):
            sql("UPDATE accounts_auditlink SET number = %s WHERE number = %s", number - 1, number)
    assert first_problem() == f"link 4: event {trail[4].pk} was changed or moved"


def test_reordered_events_are_named(trail: list[AuditEvent]) -> None:
    with without_guards():
        for number, event in ((3, -1), (4, trail[2].pk), (3, trail[3].pk)):
            sql("UPDATE accounts_auditlink SET event_id = %s WHERE number = %s", event, number)
    assert first_problem() == f"link 3: event {trail[3].pk} was changed or moved"


def test_reordered_links_are_named(trail: list[AuditEvent]) -> None:
    with without_guards():
        for new, old in ((100, 3), (3, 4), (4, 100)):
            sql("UPDATE accounts_auditlink SET number = %s WHERE number = %s", new, old)
    assert first_problem() == f"link 3: event {trail[3].pk} was changed or moved"


def test_an_event_put_in_between_is_named(trail: list[AuditEvent], owner: User) -> None:
    forged = record_audit(actor=owner, action="test.forged", obj=owner)
    AuditWaiting.objects.all().delete()
    assert first_problem() == f"event {forged.pk} is in no link: one was cut off, or it never waited for one"


def test_an_event_removed_before_it_was_sealed_is_named(trail: list[AuditEvent], owner: User) -> None:
    late = record_audit(actor=owner, action="test.done", obj=owner)
    with without_guards():
        sql("DELETE FROM accounts_auditevent WHERE id = %s", late.pk)
    assert chain.seal() == 0
    assert first_problem() == f"event {late.pk} was removed before it was sealed"


def cut(first: int) -> None:
    with without_guards():
        sql("DELETE FROM accounts_auditevent USING accounts_auditlink WHERE id = event_id AND number >= %s", first)
        sql("DELETE FROM accounts_auditlink WHERE number >= %s", first)


def test_a_cut_tail_is_found_by_the_databases_own_checkpoint(trail: list[AuditEvent]) -> None:
    cut(5)
    assert first_problem() == "cut tail: the chain ends at link 4, a checkpoint vouches for 6"


@pytest.mark.parametrize("first", [1, 6])
def test_a_tail_cut_with_its_checkpoints_is_found_by_a_file(trail: list[AuditEvent], first: int) -> None:
    cut(first)
    with without_guards():
        sql("DELETE FROM accounts_auditcheckpoint")
    assert verify().is_whole, "nothing inside the database shows it"
    outside = read_file(checkpoints.default_file())
    expected = f"cut tail: the chain ends at link {first - 1}, a checkpoint vouches for 6"
    assert verify(outside).problems == [expected]


def test_a_chain_made_anew_is_found_by_a_checkpoint(trail: list[AuditEvent]) -> None:
    with without_guards():
        sql("UPDATE accounts_auditevent SET action = 'test.forged' WHERE id = %s", trail[1].pk)
        sql("DELETE FROM accounts_auditlink")
        sql("INSERT INTO accounts_auditwaiting SELECT id FROM accounts_auditevent")
    chain.seal()
    assert first_problem().startswith("link 6: the chain was redone, a checkpoint of ")


def test_a_checkpoint_signed_by_another_key_vouches_for_nothing(trail: list[AuditEvent], settings) -> None:
    settings.AUDIT_SIGNING_KEYS = ["another-key-0123456789-0123456789"]
    assert verify().problems == ["checkpoint 6 (database): no key of this installation signed it"]
    settings.AUDIT_SIGNING_KEYS = ["another-key-0123456789-0123456789", settings.SECRET_KEY]
    assert verify().is_whole, "a former key still verifies"


def test_a_forged_checkpoint_is_named(trail: list[AuditEvent]) -> None:
    with without_guards():
        fifth = "(SELECT hash FROM accounts_auditlink WHERE number = 5)"
        sql(f"UPDATE accounts_auditcheckpoint SET number = 5, hash = {fifth}")
    assert verify().problems == ["checkpoint 5 (database): no key of this installation signed it"]


@pytest.mark.parametrize(
    "harm",
    [
        "ALTER TABLE accounts_auditevent DISABLE TRIGGER audit_refuse_change",
        "ALTER TABLE accounts_auditlink DISABLE TRIGGER ALL",
        "ALTER TABLE accounts_auditevent ENABLE REPLICA TRIGGER audit_refuse_change",
        "DROP TRIGGER audit_refuse_truncate ON accounts_auditcheckpoint",
        "DROP TRIGGER audit_wait ON accounts_auditevent",
        "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN OLD; END$$",
        "CREATE OR REPLACE TRIGGER audit_refuse_change BEFORE UPDATE OR DELETE ON accounts_auditevent "
        "FOR EACH ROW WHEN (OLD.id < 0) EXECUTE FUNCTION audit_refuse()",
        "CREATE OR REPLACE TRIGGER audit_refuse_change BEFORE UPDATE OF id OR DELETE ON accounts_auditevent "
        "FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
    ],
)
def test_a_trigger_that_is_gone_or_off_or_changed_is_named(trail: list[AuditEvent], harm: str) -> None:
    assert guards.missing_guards() == []
    sql(harm)
    assert "is gone, disabled or changed" in first_problem()


def test_a_role_that_runs_without_triggers_is_named(trail: list[AuditEvent]) -> None:
    sql("SET LOCAL session_replication_role = replica")
    assert first_problem() == "this role runs without triggers: session_replication_role is not origin"


def test_an_event_that_waits_for_long_is_named(owner: User) -> None:
    event = record_audit(actor=owner, action="test.done", obj=owner)
    with without_guards():
        sql("UPDATE accounts_auditevent SET at = at - interval '2 hours' WHERE id = %s", event.pk)
    assert first_problem().startswith("1 events wait to be sealed for more than an hour")


def test_a_role_with_the_grants_works_and_cannot_change_even_without_triggers(trail: list[AuditEvent]) -> None:
    """The role that docs/audit.md has the product run as."""
    sql("CREATE ROLE audit_app NOLOGIN")
    sql("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO audit_app")
    sql("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO audit_app")
    call_command("grant_audit", "audit_app", stdout=StringIO())
    sql("ALTER TABLE accounts_auditevent DISABLE TRIGGER USER")
    sql("SET LOCAL ROLE audit_app")
    for statement in (
        "UPDATE accounts_auditevent SET action = ''", "DELETE FROM accounts_auditevent", "TRUNCATE accounts_auditevent",
        "DELETE FROM accounts_auditlink", "UPDATE accounts_auditcheckpoint SET number = 0",
        "ALTER TABLE accounts_auditevent DISABLE TRIGGER USER", "SET LOCAL session_replication_role = replica",
    ):  # fmt: skip
        with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), transaction.atomic():
            sql(statement)
    sql("RESET ROLE")
    sql("ALTER TABLE accounts_auditevent ENABLE TRIGGER USER")
    sql("SET LOCAL ROLE audit_app")
    person = make_user()
    record_audit(actor=person, action="test.done", obj=person, reason="why")
    assert chain.seal() == 1
    assert make_checkpoint() is not None
    person.delete()
    assert verify().problems == []
    assert verify().notes == []
    sql("RESET ROLE")
    notes = verify().notes
    assert [table for table in TABLES if not any(f" {table}: owner, " in note for note in notes)] == [], (
        "it may too much"
    )


def test_the_grants_are_shown_and_a_role_that_is_none_is_refused(db: None) -> None:
    out = StringIO()
    call_command("grant_audit", 'an "odd" role', only_print=True, stdout=out)
    assert 'GRANT SELECT, INSERT ON accounts_auditevent TO "an ""odd"" role";' in out.getvalue()
    with pytest.raises(CommandError, match="does not exist"):
        call_command("grant_audit", "nobody_there")


def test_sealing_again_adds_nothing(trail: list[AuditEvent]) -> None:
    assert chain.seal() == 0
    assert AuditLink.objects.count() == 9


def test_many_events_are_sealed_in_bounded_parts(
    owner: User, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Callable
) -> None:
    monkeypatch.setattr(chain, "BATCH", 4)
    for _ in range(10):
        record_audit(actor=owner, action="test.done", obj=owner)
    assert chain.seal(batches=1) == 4
    assert chain.seal() == 6
    assert verify().is_whole
    with django_assert_num_queries(1 + 2 + 2):  # the lock, what waits, no events, their removal; a savepoint's two
        chain.seal()


@pytest.mark.django_db(transaction=True)
def test_an_event_that_commits_late_is_sealed_when_it_does(owner: User) -> None:
    """An import that takes long holds up nobody, and is not lost."""

    def sign_in() -> int:
        record_audit(actor=None, action="test.quick", obj=User)
        return chain.seal()

    with transaction.atomic(), ThreadPoolExecutor(1) as pool:
        slow = record_audit(actor=owner, action="test.slow", obj=owner)
        assert pool.submit(_and_close, sign_in).result(timeout=20) == 1, "it waited for nobody's commit"
    assert chain.seal() == 1
    assert verify().is_whole
    assert AuditLink.objects.get(number=2).event_id == slow.pk


@pytest.mark.django_db(transaction=True)
def test_while_one_seals_another_waits_for_nothing_and_adds_nothing(owner: User) -> None:
    for _ in range(5):
        record_audit(actor=owner, action="test.done", obj=owner)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert chain.seal() == 5
            assert pool.submit(_and_close, chain.seal).result(timeout=20) == 0
        record_audit(actor=owner, action="test.done", obj=owner)
        assert pool.submit(_and_close, chain.seal).result(timeout=20) == 1
    assert (verify().problems, verify().links) == ([], 6)


def _and_close(work: Callable[[], int]) -> int:
    try:
        return work()
    finally:
        connections.close_all()


def test_a_checkpoint_is_made_only_where_the_chain_grew(trail: list[AuditEvent]) -> None:
    made = make_checkpoint()
    assert made is not None
    assert made.number == 9
    assert make_checkpoint() is None
    assert [each.number for each in read_file(checkpoints.default_file())] == [6, 9]
    assert Checkpoint.from_line(made.as_line()) == made


def test_the_tasks_seal_and_sign(owner: User) -> None:
    for _ in range(3):
        record_audit(actor=owner, action="test.done", obj=owner)
    assert tasks.seal_audit() == 3
    assert (tasks.checkpoint_audit(), tasks.checkpoint_audit()) == (True, False)
    assert verify().checkpoints == 1


def test_a_lost_file_of_checkpoints_is_written_anew(trail: list[AuditEvent]) -> None:
    checkpoints.default_file().unlink()
    make_checkpoint()
    assert [each.number for each in read_file(checkpoints.default_file())] == [6, 9]


@pytest.mark.parametrize("cut", [b'{"number": 9, "ha', b'{"\xc3'], ids=["a line", "a character"])
def test_a_checkpoint_that_a_crash_cut_off_in_the_file_is_written_anew(trail: list[AuditEvent], cut: bytes) -> None:
    with checkpoints.default_file().open("ab") as file:
        file.write(cut)
    make_checkpoint()
    assert [each.number for each in read_file(checkpoints.default_file())] == [6, 9]


def command(**options: object) -> tuple[int, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("verify_audit", stdout=out, stderr=err, **options)
    except SystemExit as stop:
        return int(stop.code or 0), err.getvalue()
    return 0, out.getvalue()


def test_the_command_says_whole_or_names_the_place_and_fails(trail: list[AuditEvent], tmp_path: Path) -> None:
    code, said = command()
    assert code == 0
    assert "The audit trail is whole: 9 links, 0 events to be sealed, 1 checkpoints, 1 of them in files." in said
    kept = tmp_path / "kept.jsonl"
    kept.write_text(checkpoints.default_file().read_text())
    checkpoints.default_file().unlink()
    cut(1)
    with without_guards():
        sql("DELETE FROM accounts_auditcheckpoint")
    assert command()[0] == 0
    code, said = command(checkpoint=[kept])
    assert code == 1
    assert "BAD: cut tail: the chain ends at link 0, a checkpoint vouches for 6" in said


@pytest.mark.parametrize("content", ["{}", "[]", "no json", '{"number": 1, "hash": "zz"}', "[" * 100_000])
def test_a_file_that_holds_no_checkpoint_is_refused(tmp_path: Path, content: str) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(content)
    with pytest.raises(Exception, match=r"bad.jsonl, line 1: not a checkpoint"):
        call_command("verify_audit", checkpoint=[bad])
    with pytest.raises(Exception, match="No such file"):
        call_command("verify_audit", checkpoint=[tmp_path / "absent.jsonl"])


def test_the_hash_is_what_the_documentation_says(trail: list[AuditEvent]) -> None:
    """Anybody can compute it from an export, with nothing of ours."""
    event, link = AuditEvent.objects.get(pk=trail[0].pk), AuditLink.objects.get(number=1)
    text = json.dumps(chain.payload(1, event), sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(bytes(32) + text.encode()).digest() == bytes(link.hash)
