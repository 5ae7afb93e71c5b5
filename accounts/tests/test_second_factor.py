"""The second factor on the pages: signing in with it, setting it up, its codes, and the admin without it."""

import re
from base64 import b32decode
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client, RequestFactory
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import authenticators, services
from accounts.audit.reasons import reason_of
from accounts.models import AuditEvent, OutgoingMail, RecoveryCode, User
from accounts.tests.authenticator import App
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import PASSWORD, make_admin, make_moderator, make_user

pytestmark = pytest.mark.django_db

CODE, SETUP = "/accounts/sign-in/code/", "/accounts/second-factor/"
NEW_CODES, OFF = "/accounts/second-factor/codes/", "/accounts/second-factor/off/"


def give(browser: Client, code: str, **extra: str):
    return browser.post(CODE, {"code": code}, **extra)


def actions(user: User) -> list[str]:
    told = AuditEvent.objects.on(user).filter(action__startswith="second_factor.").order_by("pk")
    return list(told.values_list("action", flat=True))


def request_from(source: str = "192.0.2.1"):
    return RequestFactory().post("/", REMOTE_ADDR=source)


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


def key_of(page) -> str:
    (secret,) = re.findall(r"secret=([A-Z2-7]{32})&", page.content.decode().replace("&amp;", "&"))
    return b32decode(secret).hex()


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


def enrolled_browser(sign_in, mine) -> Client:
    browser = sign_in(mine.user.email)
    give(browser, mine.app.next_code())
    return browser


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


# --- staff


@pytest.fixture
def required(settings) -> None:
    settings.REQUIRE_STAFF_2FA = True


@pytest.fixture
def staff() -> User:
    return make_user("staff@example.org", PASSWORD, role="moderator")


def test_staff_without_it_are_led_to_set_it_up_before_they_are_in(required, staff: User, sign_in, clock) -> None:
    browser = sign_in(staff.email)
    assert browser.answer["Location"] == SETUP
    assert signed_in_person(browser) is None
    app = App(clock, key_of(browser.get(SETUP)))
    done = browser.post(SETUP, {"code": app.code()})
    assert len(done.context["codes"]) == 10
    assert signed_in_person(browser) == str(staff.pk)
    assert browser.get("/admin/").status_code == 200


def test_staff_with_it_enter_the_admin_after_the_code(required, staff: User, enrol, sign_in) -> None:
    mine = enrol(staff)
    browser = sign_in(staff.email)
    assert browser.get("/admin/").status_code == 302
    give(browser, mine.app.next_code())
    assert browser.get("/admin/").status_code == 200


def test_a_session_from_before_it_was_required_is_one_of_any_person(settings, staff: User, browser) -> None:
    page = browser(staff)
    assert page.get("/admin/").status_code == 200
    settings.REQUIRE_STAFF_2FA = True
    assert page.get("/admin/", follow=True).redirect_chain[-1] == (f"{SETUP}?next=%2Fadmin%2F", 302)
    assert page.get("/admin/accounts/user/").status_code == 302
    assert page.get("/accounts/profile/").status_code == 200


def test_a_session_without_the_code_is_led_to_it(required, staff: User, enrol) -> None:
    mine, page = enrol(staff), Client()
    page.force_login(mine.user)
    assert page.get("/admin/", follow=True).redirect_chain[-1][0] == f"{CODE}?next=%2Fadmin%2F"
    assert page.post(f"{CODE}?next=/admin/", {"code": mine.app.next_code()})["Location"] == "/admin/"
    assert page.get("/admin/").status_code == 200


def test_without_it_staff_are_as_anybody(required, staff: User, browser) -> None:
    page = browser(staff)
    user = page.get("/whoami/").wsgi_request.user
    assert user.lacks_second_factor
    assert not user.is_staff
    assert not user.has_perm("faqs.view_faq")
    assert not user.has_module_perms("faqs")


def test_who_is_no_staff_needs_none(required, owner: User, sign_in) -> None:
    assert signed_in_person(sign_in(owner.email)) == str(owner.pk)


def test_a_promotion_ends_the_sessions_that_showed_none(required, owner: User, browser) -> None:
    page = browser(owner)
    services.change_role(actor=make_admin(), user=owner, role="moderator", reason="x")
    assert signed_in_person(page) is None


# --- losing it


def change_page(user: User) -> str:
    return f"/admin/accounts/user/{user.pk}/change/"


def test_an_admin_resets_it_with_a_reason(owner: User, admin: User, enrol, browser, sign_in) -> None:
    mine = enrol(owner)
    theirs = enrolled_browser(sign_in, mine)
    page = browser(admin)
    assert 'name="reset_second_factor"' in page.get(change_page(owner)).content.decode()
    form = {"role": "user", "is_active": "on", "reset_second_factor": "on"}
    page.post(change_page(owner), {**form, "reason": ""})
    owner.refresh_from_db()
    assert owner.second_factor_at, "not without a reason"
    page.post(change_page(owner), {**form, "reason": "lost the phone"})
    owner.refresh_from_db()
    assert owner.second_factor_at is None
    assert signed_in_person(theirs) is None
    event = AuditEvent.objects.on(owner).get(action="second_factor.reset")
    assert (event.actor.person, reason_of(event)) == (admin, "lost the phone")
    assert OutgoingMail.objects.filter(kind="second_factor_off").count() == 1


def test_moderators_reset_nobodys(owner: User, moderator: User, enrol, browser) -> None:
    enrol(owner)
    page = browser(moderator)
    assert 'name="reset_second_factor"' not in page.get(change_page(owner)).content.decode()
    page.post(change_page(owner), {"is_active": "on", "reset_second_factor": "on", "reason": "x"})
    owner.refresh_from_db()
    assert owner.second_factor_at


def test_nobody_resets_their_own(admin: User, enrol) -> None:
    mine = enrol(admin)
    with pytest.raises(services.ApplicationError) as refusal:
        authenticators.reset(actor=mine.user, user=mine.user, reason="x")
    assert refusal.value.code == "forbidden"


def test_the_command_resets_the_last_admins(admin: User, enrol) -> None:
    enrol(admin)
    call_command("reset_second_factor", admin.email.upper(), reason="phone stolen", stdout=StringIO())
    admin.refresh_from_db()
    assert admin.second_factor_at is None
    event = AuditEvent.objects.on(admin).get(action="second_factor.reset")
    assert (event.actor, reason_of(event)) == (None, "phone stolen")
    for address in (admin.email, "nobody@example.org"):
        with pytest.raises(CommandError):
            call_command("reset_second_factor", address, reason="x", stdout=StringIO())


def test_the_admin_shows_no_secret(admin: User, enrol, browser) -> None:
    enrol(make_moderator())
    assert browser(admin).get("/admin/otp_totp/totpdevice/").status_code == 404
