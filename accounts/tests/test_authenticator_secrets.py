"""The secrets of authenticator apps where they lie: encrypted, bound to their person, carried over to a new key."""

from importlib import import_module
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client, RequestFactory

from accounts import authenticators
from accounts.models import Authenticator, BrowserSession, User
from accounts.sealing import Unreadable
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import PASSWORD

pytestmark = pytest.mark.django_db
migration = import_module("accounts.migrations.0014_sealed_authenticators")


def stored_key(user: User) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT key FROM otp_totp_totpdevice WHERE user_id = %s", [user.pk])
        return str(cursor.fetchone()[0])


def is_good(user: User, code: str) -> bool:
    return authenticators.check(RequestFactory().post("/", REMOTE_ADDR="192.0.2.1"), user, code, "sign_in")


def test_the_secret_is_not_in_the_database_and_codes_are_good(owner: User, enrol: Any) -> None:
    mine = enrol(owner)
    kept = stored_key(owner)
    for form in (mine.app.key, authenticators.shown_key(mine.app.key)):
        assert form.lower() not in kept.lower()
    assert Authenticator.objects.get().bin_key.hex() == mine.app.key
    assert is_good(mine.user, mine.app.next_code())


def test_what_is_being_set_up_is_not_in_the_session_in_clear(owner: User, browser: Any) -> None:
    page: Client = browser(owner)
    answer = page.get("/accounts/second-factor/")
    shown = answer.context["key"]
    assert page.get("/accounts/second-factor/").context["key"] == shown
    kept = repr([session.get_decoded() for session in BrowserSession.objects.all()]).lower()
    assert "second_factor_key" in kept
    assert shown.lower() not in kept
    assert bytes.fromhex(authenticators.new_key()).hex() not in kept


def test_a_secret_copied_to_anothers_row_opens_nothing(owner: User, other: User, enrol: Any) -> None:
    mine, theirs = enrol(owner), enrol(other)
    Authenticator.objects.filter(user=other).update(key=stored_key(owner))
    assert not is_good(theirs.user, mine.app.next_code())
    assert not is_good(theirs.user, theirs.app.next_code())
    with pytest.raises(Unreadable):
        _ = Authenticator.objects.get(user=other).bin_key


@pytest.mark.parametrize("key", ["", "x", "0" * 40, "A" * 64, "é"])
def test_what_was_not_sealed_is_taken_for_no_secret(key: str, owner: User, enrol: Any) -> None:
    mine = enrol(owner)
    Authenticator.objects.update(key=key)
    assert not is_good(mine.user, mine.app.next_code())
    assert is_good(mine.user, mine.recovery_codes[0])


def test_a_new_key_takes_over_and_then_the_old_is_needed_no_longer(owner: User, enrol: Any, settings: Any) -> None:
    mine = enrol(owner)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
    assert is_good(mine.user, mine.app.next_code())
    out = StringIO()
    call_command("reseal_secrets", stdout=out)
    assert out.getvalue().startswith("1 secrets")
    settings.SECRET_KEY_FALLBACKS = []
    assert is_good(mine.user, mine.app.next_code())


def test_a_key_that_was_thrown_away_too_early_is_told_and_recovery_codes_sign_in(
    owner: User, enrol: Any, sign_in: Any, settings: Any
) -> None:
    mine = enrol(owner)
    settings.SECRET_KEY = "another"
    with pytest.raises(CommandError, match=str(owner.pk)):
        call_command("reseal_secrets", stdout=StringIO())
    browser = sign_in(owner.email, PASSWORD)
    browser.post("/accounts/sign-in/code/", {"code": mine.app.next_code()})
    assert signed_in_person(browser) is None
    browser.post("/accounts/sign-in/code/", {"code": mine.recovery_codes[0]})
    assert signed_in_person(browser) == str(owner.pk)


def test_the_migration_seals_what_stood_in_clear_and_back_once(owner: User, other: User, enrol: Any) -> None:
    mine, theirs = enrol(owner), enrol(other)
    back = migration.change(migration.unseal, sealed=True)
    there = migration.change(migration.seal, sealed=False)
    back(apps, None)
    back(apps, None)
    assert (stored_key(owner), stored_key(other)) == (mine.app.key, theirs.app.key)
    there(apps, None)
    once = stored_key(owner)
    there(apps, None)
    assert stored_key(owner) == once != mine.app.key
    assert is_good(mine.user, mine.app.next_code())
    assert is_good(theirs.user, theirs.app.next_code())
