"""What ended between a backup and its restore stays ended; what was opened since is not carried over."""

from pathlib import Path

import pytest
from django.db import connection

from accounts import api_keys, restriction, services
from accounts.models import ApiKey, AuditEvent, Consent, DataRequest, Purpose, User
from accounts.privacy import consents, erasures
from accounts.roles import Role
from accounts.scopes import Scope
from accounts.tests.factories import agree, make_admin, make_guest, make_moderator, make_user
from chatbot_project.backup import databases
from chatbot_project.tests.backups import home, made, place, restored

__all__ = ["home", "place"]  # fixtures
pytestmark = pytest.mark.django_db(transaction=True)


def test_what_ended_since_stays_ended_unless_that_is_undone(place: Path, home: str) -> None:
    restored(made(place), home)
    with databases.using(home):
        admin, moderator, other = make_admin(), make_moderator(), make_user()
        closed, paused, leaving, agreeing = make_user(), make_user(), make_user(), agree(make_user())
        guest = make_guest()
        key, _secret = api_keys.create_key(user=other, name="k", scopes=[Scope.READ])
        folder = made(place)
        before = {user.pk: user for user in User.objects.all()}

        api_keys.revoke_keys(user=other)
        services.set_suspended(actor=admin, user=closed, suspended=True, reason="Why")
        services.change_role(actor=admin, user=moderator, role=Role.USER, reason="Why")
        services.change_role(actor=admin, user=other, role=Role.ADMIN, reason="Why")
        restriction.restrict(actor=paused, user=paused)
        asked = erasures.request_erasure(user=leaving)
        consents.decide(
            user=agreeing, purpose=Purpose.IMPROVEMENT, granted=False, version=1, source=Consent.Source.PAGE
        )  # fmt: skip
    said = restored(folder, home, "--replace")
    assert "Ended since, and so again: 1 keys, 2 accounts, 1 roles, 1 pauses, 1 erasures, 1 consents." in said
    with databases.using(home):
        assert ApiKey.objects.get(pk=key.pk).revoked_at is not None
        assert not User.objects.get(pk=closed.pk).is_active
        assert User.objects.get(pk=moderator.pk).role == Role.USER
        assert User.objects.get(pk=other.pk).role == Role.USER, "a role that was given since is not"
        assert User.objects.get(pk=paused.pk).restricted_at is not None
        found = DataRequest.objects.get(pk=asked.pk)
        assert (found.state, found.due_at, found.user_id) == ("waiting", asked.due_at, leaving.pk)
        assert not Consent.objects.filter(user=agreeing).latest("id").granted
        event = AuditEvent.objects.filter(action="backup.restored").latest("id")
        assert event.details["ended"]["accounts"] == 2
        assert User.objects.get(pk=admin.pk).auth_epoch == before[admin.pk].auth_epoch + 1
        assert User.objects.get(pk=guest.pk).auth_epoch == before[guest.pk].auth_epoch

    restored(folder, home, "--replace")
    with databases.using(home):
        assert not User.objects.get(pk=closed.pk).is_active, "also at the second restore"
        assert ApiKey.objects.get(pk=key.pk).revoked_at is not None
    restored(folder, home, "--replace", "--undo-endings")
    with databases.using(home):
        assert ApiKey.objects.get(pk=key.pk).revoked_at is None
        assert User.objects.get(pk=moderator.pk).role == Role.MODERATOR


def test_what_began_again_before_the_backup_has_not_ended(place: Path, home: str) -> None:
    """An older backup was restored by mistake, and then a newer one."""
    restored(made(place), home)
    with databases.using(home):
        admin, closed, leaving = make_admin(), make_user(), make_user()
        services.set_suspended(actor=admin, user=closed, suspended=True, reason="Why")
        asked = erasures.request_erasure(user=leaving)
        older = made(place)
        services.set_suspended(actor=admin, user=closed, suspended=False, reason="Why")
        erasures.cancel_erasure(asked.pk)
        newer = made(place)
    restored(older, home, "--replace", "--undo-endings")
    with databases.using(home):
        assert not User.objects.get(pk=closed.pk).is_active
    assert "Ended since" not in restored(newer, home, "--replace")
    with databases.using(home):
        assert User.objects.filter(pk__in=[closed.pk, leaving.pk], is_active=True).count() == 2
        assert DataRequest.objects.get(pk=asked.pk).state == "cancelled"


def test_one_admin_remains_and_a_database_that_cannot_say_is_told_of(place: Path, home: str) -> None:
    restored(made(place), home)
    with databases.using(home):
        first, second = make_admin(), make_admin()
        folder = made(place)
        third = make_admin()  # who is not in the backup
        services.set_suspended(actor=third, user=first, suspended=True, reason="Why")
        services.change_role(actor=third, user=second, role=Role.USER, reason="Why")
    said = restored(folder, home, "--replace")
    assert "Ended since" not in said
    with databases.using(home):
        assert User.objects.filter(role=Role.ADMIN, is_active=True).count() == 2
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE accounts_apikey RENAME revoked_at TO ended_at")
    said = restored(folder, home, "--replace")
    assert 'What ended since the backup cannot be read (column "revoked_at" does not exist' in said
    with databases.using(home):
        assert User.objects.filter(role=Role.ADMIN, is_active=True).count() == 2
