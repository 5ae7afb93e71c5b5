"""The second factor of staff: asked for where the role asks, and reset where it is lost."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts import authenticators, services
from accounts.audit.reasons import reason_of
from accounts.models import AuditEvent, OutgoingMail, User
from accounts.tests.authenticator import App
from accounts.tests.code_pages import CODE, SETUP, enrolled_browser, give, key_of
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import PASSWORD, make_admin, make_moderator, make_user

pytestmark = pytest.mark.django_db


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
