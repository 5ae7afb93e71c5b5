"""The second factor on the pages: signing in with it, setting it up, its codes, and the admin without it."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import authenticators, services
from accounts.models import AuditEvent, OutgoingMail, RecoveryCode, User
from accounts.tests.authenticator import App
from accounts.tests.code_pages import CODE, NEW_CODES, OFF, SETUP, actions, enrolled_browser, give, key_of, request_from
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import PASSWORD, make_admin

pytestmark = pytest.mark.django_db


# --- signing in


def test_who_has_it_is_in_only_after_the_code(owner: User, enrol, sign_in) -> None:
    mine = enrol(owner)
    browser = sign_in(owner.email)
    assert browser.answer["Location"] == CODE
    assert signed_in_person(browser) is None
    assert give(browser, mine.app.next_code())["Location"] == "/"
    assert signed_in_person(browser) == str(owner.pk)


def test_next_is_kept_over_the_code(owner: User, enrol) -> None:
    mine, browser = enrol(owner), Client()
    browser.post("/accounts/sign-in/", {"email": owner.email, "password": PASSWORD, "next": "/accounts/keys/"})
    assert give(browser, mine.app.next_code())["Location"] == "/accounts/keys/"


def test_a_code_is_good_once(owner: User, enrol, sign_in) -> None:
    mine = enrol(owner)
    code = mine.app.next_code()
    give(sign_in(owner.email), code)
    again = sign_in(owner.email)
    assert give(again, code).status_code == 200
    assert signed_in_person(again) is None


def test_the_code_that_set_it_up_signs_nobody_in(owner: User, enrol, sign_in) -> None:
    mine, browser = enrol(owner), sign_in(owner.email)
    give(browser, mine.app.code())
    assert signed_in_person(browser) is None


def test_an_older_code_is_refused_once_a_newer_was_taken(owner: User, enrol, clock, sign_in) -> None:
    mine = enrol(owner)
    clock.now += 120
    newer, older = mine.app.code(), mine.app.code(steps=-1)
    give(sign_in(owner.email), newer)
    browser = sign_in(owner.email)
    give(browser, older)
    assert signed_in_person(browser) is None


@pytest.mark.parametrize("steps", [-2, 2])
def test_a_code_of_another_minute_is_refused(owner: User, enrol, clock, steps: int) -> None:
    mine = enrol(owner)
    clock.now += 300
    assert not authenticators.check(request_from(), mine.user, mine.app.code(steps=steps), "sign_in")


def test_codes_that_come_late_do_not_move_what_is_accepted(owner: User, enrol, clock) -> None:
    mine = enrol(owner)
    TOTPDevice.objects.update(drift=-2)  # an older version had let it move
    for _sign_in in range(3):
        clock.now += 300
        assert not authenticators.check(request_from(), mine.user, mine.app.code(steps=-2), "sign_in")
        assert authenticators.check(request_from(), mine.user, mine.app.code(steps=-1), "sign_in")
    assert authenticators.check(request_from(), mine.user, mine.app.code(steps=1), "sign_in")


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "+12345", "１２３４５６", "000000\n", "a" * 40])
def test_what_is_no_code_is_refused(owner: User, enrol, sign_in, code: str) -> None:
    enrol(owner)
    browser = sign_in(owner.email)
    assert give(browser, code).status_code == 200
    assert signed_in_person(browser) is None


def test_a_code_may_be_typed_with_spaces(owner: User, enrol, sign_in) -> None:
    mine, browser = enrol(owner), sign_in(owner.email)
    code = mine.app.next_code()
    give(browser, f" {code[:3]} {code[3:]} ")
    assert signed_in_person(browser) == str(owner.pk)


def test_anothers_code_is_refused(owner: User, other: User, enrol, sign_in) -> None:
    enrol(owner)
    theirs, browser = enrol(other), sign_in(owner.email)
    give(browser, theirs.app.next_code())
    give(browser, theirs.recovery_codes[0])
    assert signed_in_person(browser) is None


def test_without_a_password_the_page_asks_for_it(owner: User, enrol, client: Client) -> None:
    mine = enrol(owner)
    assert client.get(CODE)["Location"].startswith("/accounts/sign-in/")
    assert give(client, mine.app.next_code())["Location"].startswith("/accounts/sign-in/")
    assert signed_in_person(client) is None


def test_who_waits_too_long_begins_anew(owner: User, enrol, sign_in) -> None:
    mine, browser = enrol(owner), sign_in(owner.email)
    session = browser.session
    session["signing_in"] = [*session["signing_in"][:2], session["signing_in"][2] - 601, "/"]
    session.save()
    assert give(browser, mine.app.next_code())["Location"].startswith("/accounts/sign-in/")
    assert signed_in_person(browser) is None


def test_a_password_changed_meanwhile_ends_the_waiting(owner: User, enrol, sign_in) -> None:
    mine, browser = enrol(owner), sign_in(owner.email)
    services.change_password(user=owner, password="another good one")
    give(browser, mine.app.next_code())
    assert signed_in_person(browser) is None


def test_a_suspension_meanwhile_ends_the_waiting(owner: User, enrol, sign_in) -> None:
    mine, browser = enrol(owner), sign_in(owner.email)
    services.set_suspended(actor=make_admin(), user=owner, suspended=True, reason="x")
    give(browser, mine.app.next_code())
    assert signed_in_person(browser) is None


def test_a_reset_by_mail_asks_for_the_code_too(owner: User, enrol, mailed_link) -> None:
    mine, browser = enrol(owner), Client()
    OutgoingMail.objects.all().delete()
    browser.post("/accounts/password/forgot/", {"email": owner.email})
    assert browser.post(mailed_link(), {"new_password": "another good one"})["Location"] == CODE
    assert signed_in_person(browser) is None
    give(browser, mine.app.next_code())
    assert signed_in_person(browser) == str(owner.pk)


@pytest.mark.django_db(transaction=True)
def test_one_code_sent_ten_times_at_once_is_good_once(owner: User, enrol) -> None:
    mine = enrol(owner)
    code = mine.app.next_code()

    def guess(number: int) -> bool:
        try:
            return authenticators.check(request_from(f"192.0.2.{number}"), mine.user, code, "sign_in")
        except authenticators.limits.TooManyTries:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as threads:
        assert sum(threads.map(guess, range(5))) == 1


# --- guesses


def test_guesses_are_slowed_wherever_they_come_from(owner: User, enrol, sign_in) -> None:
    enrol(owner)
    answers = [
        give(sign_in(owner.email, REMOTE_ADDR=f"192.0.2.{n}"), "000000", REMOTE_ADDR=f"192.0.2.{n}").status_code
        for n in range(7)
    ]
    assert answers == [200] * 6 + [429]


def test_a_strangers_guesses_do_not_keep_the_owners_device_out(owner: User, enrol, sign_in) -> None:
    home = sign_in(owner.email)
    mine = enrol(owner)
    stranger = sign_in(owner.email)
    assert [give(stranger, "000000").status_code for _ in range(7)][-1] == 429
    sign_in(owner.email, browser=home)
    give(home, mine.app.next_code())
    assert signed_in_person(home) == str(owner.pk)


def test_right_codes_use_up_no_tries(owner: User, enrol, sign_in) -> None:
    mine = enrol(owner)
    for _ in range(8):
        browser = sign_in(owner.email)
        give(browser, mine.app.next_code())
        assert signed_in_person(browser) == str(owner.pk)


def test_without_redis_no_code_is_looked_at(owner: User, enrol, settings) -> None:
    mine = enrol(owner)
    settings.REDIS_URL = "unix:///nowhere/at-all.sock"
    with pytest.raises(services.ApplicationError) as refusal:
        authenticators.check(request_from(), mine.user, mine.app.next_code(), "sign_in")
    assert refusal.value.status == 503


# --- setting up


def test_setting_up_shows_a_picture_and_ends_every_other_session(owner: User, browser, clock) -> None:
    other_browser, page = browser(owner), browser(owner)
    shown = page.get(SETUP)
    html = shown.content.decode()
    assert "<svg" in html
    assert "style=" not in html.split("<main")[1]
    assert "no-store" in shown["Cache-Control"]
    app = App(clock, key_of(shown))
    assert key_of(page.get(SETUP)) == app.key, "the picture stays the same while it is being scanned"
    done = page.post(SETUP, {"code": app.code(), "password": PASSWORD})
    codes = re.findall(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}", done.content.decode())
    assert len(set(codes)) == 10
    owner.refresh_from_db()
    assert owner.second_factor_at
    assert signed_in_person(page) == str(owner.pk)
    assert signed_in_person(other_browser) is None
    assert actions(owner) == ["second_factor.enrolled"]
    assert app.key not in str(dict(page.session))
    assert codes[0] not in page.get(SETUP).content.decode()
    assert OutgoingMail.objects.get().kind == "second_factor_on"


def test_setting_up_takes_the_password(owner: User, browser, clock) -> None:
    page = browser(owner)
    app = App(clock, key_of(page.get(SETUP)))
    answer = page.post(SETUP, {"code": app.code(), "password": "wrong"})
    assert answer.context["form"].errors["password"]
    assert not TOTPDevice.objects.exists()


def test_a_wrong_code_sets_nothing_up(owner: User, browser, clock) -> None:
    page = browser(owner)
    app = App(clock, key_of(page.get(SETUP)))
    answer = page.post(SETUP, {"code": app.code(steps=5), "password": PASSWORD})
    assert answer.context["form"].errors["code"]
    assert not TOTPDevice.objects.exists()
    assert actions(owner) == []


def test_it_is_set_up_once(owner: User, enrol, clock) -> None:
    mine = enrol(owner)
    with pytest.raises(services.ApplicationError) as refusal:
        authenticators.turn_on(user=mine.user, key=mine.app.key, code=mine.app.next_code())
    assert refusal.value.code == "second_factor_on"
    assert TOTPDevice.objects.count() == 1


def test_nobody_and_guests_set_nothing_up(client: Client, browser, guest: User) -> None:
    assert client.get(SETUP)["Location"].startswith("/accounts/sign-in/")
    assert browser(guest).get(SETUP)["Location"].startswith("/accounts/sign-in/")
    for page in (NEW_CODES, OFF):
        assert client.get(page)["Location"].startswith("/accounts/sign-in/")
        assert browser(guest).get(page)["Location"] == "/accounts/sign-up/"


# --- recovery codes


def test_a_recovery_code_signs_in_once_and_is_told_of(owner: User, enrol, sign_in) -> None:
    mine = enrol(owner)
    code = mine.recovery_codes[3]
    browser = sign_in(owner.email)
    give(browser, code.upper().replace("-", " "))
    assert signed_in_person(browser) == str(owner.pk)
    again = sign_in(owner.email)
    give(again, code)
    assert signed_in_person(again) is None
    used = AuditEvent.objects.filter(action="second_factor.used").get()
    assert used.details == {"kind": "recovery", "for": "sign_in"}
    assert OutgoingMail.objects.filter(kind="recovery_used").count() == 1


def test_recovery_codes_are_kept_as_hashes(owner: User, enrol) -> None:
    mine = enrol(owner)
    kept = " ".join(RecoveryCode.objects.values_list("digest", flat=True))
    for code in mine.recovery_codes:
        assert code not in kept
        assert code.replace("-", "") not in kept


def test_one_is_warned_when_few_are_left(owner: User, enrol, sign_in) -> None:
    mine = enrol(owner)
    RecoveryCode.objects.filter(pk__in=RecoveryCode.objects.values("pk")[:7]).delete()
    browser = sign_in(owner.email)
    give(browser, mine.app.next_code())
    assert "You have 3 recovery codes left." in browser.get(SETUP).content.decode()


def test_new_codes_replace_the_old(owner: User, enrol, sign_in) -> None:
    mine = enrol(owner)
    page = enrolled_browser(sign_in, mine)
    answer = page.post(NEW_CODES, {"password": PASSWORD, "code": mine.app.next_code()})
    fresh = answer.context["codes"]
    assert len(fresh) == 10
    assert not authenticators.check(request_from(), mine.user, mine.recovery_codes[0], "sign_in")
    assert authenticators.check(request_from(), mine.user, fresh[0], "sign_in")
    assert "second_factor.codes_renewed" in actions(owner)


@pytest.mark.parametrize("page", [NEW_CODES, OFF])
@pytest.mark.parametrize("wrong", ["password", "code"])
def test_a_change_takes_password_and_code(owner: User, enrol, sign_in, page: str, wrong: str) -> None:
    mine = enrol(owner)
    browser = enrolled_browser(sign_in, mine)
    before = set(RecoveryCode.objects.values_list("digest", flat=True))
    given = {"password": PASSWORD, "code": mine.app.next_code()} | {wrong: "000000"}
    assert browser.post(page, given).context["form"].errors[wrong]
    owner.refresh_from_db()
    assert owner.second_factor_at
    assert set(RecoveryCode.objects.values_list("digest", flat=True)) == before


def test_turning_off_ends_the_other_sessions(owner: User, enrol, sign_in) -> None:
    mine = enrol(owner)
    elsewhere, page = enrolled_browser(sign_in, mine), enrolled_browser(sign_in, mine)
    assert page.post(OFF, {"password": PASSWORD, "code": mine.app.next_code()})["Location"] == "/accounts/profile/"
    assert signed_in_person(page) == str(owner.pk)
    assert signed_in_person(elsewhere) is None
    assert not TOTPDevice.objects.exists()
    assert not RecoveryCode.objects.exists()
    assert actions(owner)[-1] == "second_factor.removed"
    assert signed_in_person(sign_in(owner.email)) == str(owner.pk)
