"""Who the trail tells of, and that after somebody is forgotten it tells nothing of them and is as whole as before."""

from pathlib import Path

import pytest
from django.db import connection, transaction

from accounts import audit
from accounts.audit import chain
from accounts.audit.reasons import reason_of
from accounts.audit.verifying import verify
from accounts.models import AuditEvent, AuditIdentity, User
from accounts.services import record_audit
from accounts.tests.factories import make_user

pytestmark = pytest.mark.django_db

REASON = "Ada Quokka of Perth complained"


@pytest.fixture(autouse=True)
def _own_files(settings, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


def rows() -> str:
    """All that the trail's tables hold, as text."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(e::text, ' ') FROM accounts_auditevent e")
        return cursor.fetchone()[0]


def test_an_event_is_one_small_insert(owner: User, django_assert_num_queries) -> None:
    with django_assert_num_queries(1):
        record_audit(actor=owner, action="test.done", obj=owner)
    with django_assert_num_queries(2):
        record_audit(actor=owner, action="test.done", obj=owner, reason="why")


def test_what_is_returned_is_what_is_stored(owner: User, other: User) -> None:
    made = record_audit(actor=owner, action="test.done", obj=other, reason="why", details={"n": 1})
    stored = AuditEvent.objects.get()
    for field in AuditEvent._meta.concrete_fields:
        value = getattr(stored, field.attname)
        assert getattr(made, field.attname) == (bytes(value) if field.attname == "sealed_reason" else value), field


def test_nobody_is_stored_by_id_name_or_reason(owner: User, other: User) -> None:
    record_audit(actor=owner, action="test.done", obj=other, reason=REASON)
    for person in (owner, other):
        for told in (str(person.pk), person.pk.hex, person.username, person.email):
            assert told not in rows()
    assert REASON.encode().hex() not in rows()


def test_every_person_has_a_pseudonym_and_a_key_of_their_own() -> None:
    people = [make_user() for _ in range(3)] + [User.objects.create_guest()]
    User.objects.bulk_create([User(username="bulk", is_guest=True)])
    assert AuditIdentity.objects.count() == User.objects.count() == 5
    assert len({bytes(key) for key in AuditIdentity.objects.values_list("key", flat=True)}) == 5
    assert {len(bytes(person.audit_identity.key)) for person in people} == {32}


def test_the_reason_is_read_by_the_subjects_key_or_without_one_the_actors(owner: User, other: User) -> None:
    record_audit(actor=owner, action="test.done", obj=AuditEvent, reason="by the actor")
    record_audit(actor=owner, action="test.done", obj=AuditEvent, subject=other, reason="about the subject")
    record_audit(actor=None, action="test.done", obj=AuditEvent, reason="about nobody")
    expected = ["about nobody", "about the subject", "by the actor"]
    assert [reason_of(event) for event in AuditEvent.objects.with_people()] == expected
    audit.forget(owner)
    assert [reason_of(event) for event in AuditEvent.objects.with_people()] == [*expected[:2], ""]
    audit.forget(other)
    assert [reason_of(event) for event in AuditEvent.objects.with_people()] == [expected[0], "", ""]


def forget(person: User) -> None:
    assert audit.forget(person)
    assert not audit.forget(person)


@pytest.mark.parametrize("way", [forget, lambda person: person.delete()], ids=["forgotten", "deleted"])
def test_after_erasure_the_trail_is_whole_and_tells_of_nobody(owner: User, other: User, way) -> None:
    record_audit(actor=other, action="test.done", obj=owner, reason=REASON)
    record_audit(actor=owner, action="test.done", obj=owner)
    record_audit(actor=other, action="test.done", obj=other, reason="theirs")
    chain.seal()
    before = rows()
    pseudonym = str(owner.audit_identity.pseudonym)
    way(owner)
    assert rows() == before, "nothing in the trail was touched"
    assert verify().problems == []
    assert not AuditIdentity.objects.filter(pseudonym=pseudonym).exists()
    readable = [(event.actor, event.subject, reason_of(event)) for event in AuditEvent.objects.with_people()]
    them = other.audit_identity
    assert readable == [(them, them, "theirs"), (None, None, ""), (them, None, "")]
    assert [entry.reason for entry in audit.events_about(other)] == ["theirs", ""]


def test_what_is_recorded_of_somebody_forgotten_tells_of_nobody(owner: User) -> None:
    audit.forget(owner)
    event = record_audit(actor=owner, action="test.done", obj=owner, reason=REASON)
    assert (event.actor_id, event.subject_id, event.object_id, event.sealed_reason) == (None, None, "", b"")
    assert audit.events_about(owner) == []


def test_an_erasure_that_is_undone_keeps_the_identity(owner: User) -> None:
    record_audit(actor=owner, action="test.done", obj=owner)
    with transaction.atomic():
        audit.forget(owner)
        transaction.set_rollback(True)
    assert len(audit.events_about(owner)) == 1


def test_a_person_gets_what_was_done_to_them_and_by_them(
    owner: User, other: User, moderator: User, django_assert_num_queries
) -> None:
    record_audit(actor=moderator, action="test.read", obj=owner, reason="a report", details={"role": "moderator"})
    record_audit(actor=owner, action="test.own", obj=AuditEvent)
    record_audit(actor=None, action="test.system", obj=AuditEvent, subject=owner)
    record_audit(actor=moderator, action="test.read", obj=other)
    with django_assert_num_queries(2):
        entries = audit.events_about(owner)
    assert [(entry.action, entry.actor, entry.role, entry.own, entry.reason) for entry in entries] == [
        ("test.system", "", "", False, ""),
        ("test.own", "owner", "", True, ""),
        ("test.read", moderator.username, "moderator", False, "a report"),
    ]
    assert [entry.action for entry in audit.events_about(owner, actions=["test.own"])] == ["test.own"]
    assert len(audit.events_about(owner, most=1)) == 1
    assert [entry.actor for entry in audit.events_about(other)] == [moderator.username]


def test_a_changed_reason_is_not_shown(owner: User) -> None:
    event = record_audit(actor=owner, action="test.done", obj=owner, reason="why")
    event.sealed_reason = event.sealed_reason[:-1] + bytes([event.sealed_reason[-1] ^ 1])
    assert reason_of(AuditEvent.objects.with_people().get()) == "why"
    event.actor = event.subject = owner.audit_identity
    assert reason_of(event) == ""
