import pytest
from django.db import IntegrityError, transaction

from accounts.audit.reasons import reason_of
from accounts.models import AppendOnly, AuditEvent, User
from accounts.roles import Role
from accounts.services import record_audit
from accounts.tests.factories import make_guest, make_user

pytestmark = pytest.mark.django_db


def test_addresses_are_unique_without_regard_to_case() -> None:
    make_user("Ada@Example.org")
    with pytest.raises(IntegrityError):
        make_user("aDA@example.ORG")


def test_the_database_refuses_an_address_not_in_lower_case() -> None:
    user = make_user("ada@example.org")
    with pytest.raises(IntegrityError, match="email_lower_case"):
        User.objects.filter(pk=user.pk).update(email="Ada@example.org")


def test_usernames_are_unique_without_regard_to_case() -> None:
    make_user(username="Ada")
    with pytest.raises(IntegrityError, match="username_unique"):
        make_user(username="aDA")


def test_a_username_is_made_of_the_address_and_differs_from_those_there_are() -> None:
    first = User.objects.create_user("ada+x@example.org")
    second = User.objects.create_user("adax@example.com")
    assert first.username == "adax"
    assert second.username.startswith("adax-")


@pytest.mark.parametrize(
    "wrong",
    [{"email": None}, {"role": "owner"}],
    ids=["user-without-address", "unknown-role"],
)
def test_the_database_refuses_a_user_that_cannot_be(wrong: dict) -> None:
    user = make_user()
    with pytest.raises(IntegrityError):
        User.objects.filter(pk=user.pk).update(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"email": "g@example.org"}, {"role": Role.ADMIN}, {"is_guest": False}],
    ids=["address", "role", "no-guest"],
)
def test_the_database_refuses_a_guest_that_cannot_be(wrong: dict) -> None:
    guest = make_guest()
    with pytest.raises(IntegrityError):
        User.objects.filter(pk=guest.pk).update(**wrong)


def test_ids_are_of_version_7() -> None:
    assert make_user().pk.version == 7


def test_a_superuser_is_a_verified_admin() -> None:
    admin = User.objects.create_superuser("root@example.org", "x")
    assert (admin.role, admin.is_staff, admin.is_superuser) == (Role.ADMIN, True, True)
    assert admin.email_verified_at


def test_an_audit_event_can_only_be_added(owner: User) -> None:
    event = record_audit(actor=owner, action="test.done", obj=owner, reason="why")
    event.action = "other"
    for change in (
        event.save,
        event.delete,
        lambda: AuditEvent.objects.update(action="other"),
        lambda: AuditEvent.objects.all().delete(),
    ):
        with pytest.raises(AppendOnly):
            change()
    stored = AuditEvent.objects.get()
    assert (stored.actor.person, stored.action, reason_of(stored)) == (owner, "test.done", "why")
    assert (stored.object_type, stored.object_id) == ("accounts.user", str(owner.audit_identity.pseudonym))


def test_an_audit_event_outlives_its_actor_unchanged() -> None:
    guest = make_guest()
    record_audit(actor=guest, action="test.done", obj=guest)
    before = AuditEvent.objects.values().get()
    guest.delete()
    assert AuditEvent.objects.values().get() == before
    assert AuditEvent.objects.with_people().get().actor is None


def test_an_audit_event_stands_only_if_what_it_tells_of_does(owner: User) -> None:
    with transaction.atomic():
        record_audit(actor=owner, action="test.done", obj=owner)
        transaction.set_rollback(True)
    assert not AuditEvent.objects.exists()
