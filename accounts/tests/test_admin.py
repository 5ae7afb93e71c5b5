import pytest
from django.test import Client

from accounts import api_keys, families
from accounts.audit.reasons import reason_of
from accounts.models import AuditEvent, User
from accounts.scopes import Scope
from accounts.services import record_audit
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import make_guest, make_user

pytestmark = pytest.mark.django_db


def change_page(user: User) -> str:
    return f"/admin/accounts/user/{user.pk}/change/"


def test_only_staff_enter(browser, owner: User, guest: User, moderator: User, admin: User, client: Client) -> None:
    assert [browser(person).get("/admin/").status_code for person in (owner, guest, moderator, admin)] == [
        302, 302, 200, 200,
    ]  # fmt: skip
    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize("page", ["/admin/accounts/user/", "/admin/accounts/auditevent/"])
def test_the_lists_open_within_a_budget(browser, admin, page, django_assert_max_num_queries) -> None:
    for _ in range(30):
        record_audit(actor=make_user(), action="test.done", obj=admin, reason="why")
    view = browser(admin)
    with django_assert_max_num_queries(10):
        assert view.get(page).status_code == 200


def test_no_password_hash_is_shown(browser, admin: User, owner: User) -> None:
    page = browser(admin).get(change_page(owner)).content.decode()
    assert owner.password.split("$")[-1] not in page
    assert owner.email in page


def test_an_admin_suspends_with_a_reason_that_is_recorded(browser, admin: User, owner: User) -> None:
    theirs = browser(owner)
    browser(admin).post(change_page(owner), {"role": "user", "reason": "spam"})
    owner.refresh_from_db()
    assert not owner.is_active
    assert signed_in_person(theirs) is None
    event = AuditEvent.objects.on(owner).get(action="user.suspended")
    assert (event.actor.person, reason_of(event)) == (admin, "spam")


def test_an_admin_changes_a_role_and_it_is_recorded(browser, admin: User, owner: User) -> None:
    browser(admin).post(change_page(owner), {"role": "moderator", "is_active": "on", "reason": "helps"})
    owner.refresh_from_db()
    assert owner.role == "moderator"
    event = AuditEvent.objects.get(action="user.role_changed")
    assert event.details == {"from": "user", "to": "moderator"}


def test_without_a_reason_nothing_changes(browser, admin: User, owner: User) -> None:
    answer = browser(admin).post(change_page(owner), {"role": "admin", "is_active": "on", "reason": " "})
    assert answer.status_code == 200
    owner.refresh_from_db()
    assert owner.role == "user"


def test_a_moderator_suspends_a_user_but_changes_no_role(browser, moderator: User, owner: User) -> None:
    browser(moderator).post(change_page(owner), {"role": "admin", "reason": "spam"})
    owner.refresh_from_db()
    assert (owner.role, owner.is_active) == ("user", False)


def test_what_a_service_refuses_is_shown_and_changes_nothing(browser, moderator: User, admin: User) -> None:
    answer = browser(moderator).post(change_page(admin), {"reason": "coup"}, follow=True)
    assert b"You may not suspend this person" in answer.content
    admin.refresh_from_db()
    assert admin.is_active
    assert not AuditEvent.objects.filter(action="user.suspended").exists()


def test_an_admin_cannot_demote_themselves(browser, admin: User) -> None:
    browser(admin).post(change_page(admin), {"role": "user", "is_active": "on", "reason": "tired"})
    admin.refresh_from_db()
    assert admin.role == "admin"


def test_a_guest_gets_no_role(browser, admin: User) -> None:
    guest = make_guest()
    answer = browser(admin).post(change_page(guest), {"role": "admin", "is_active": "on", "reason": "oops"})
    assert answer.status_code == 200
    guest.refresh_from_db()
    assert guest.role == "user"


def test_an_address_or_name_in_the_body_is_ignored(browser, admin: User, owner: User) -> None:
    browser(admin).post(
        change_page(owner),
        {"role": "user", "is_active": "on", "reason": "x", "email": "evil@example.org", "username": "evil"},
    )
    owner.refresh_from_db()
    assert (owner.email, owner.username) == ("owner@example.org", "owner")


def test_nobody_is_added_or_deleted_here(browser, admin: User, owner: User) -> None:
    view = browser(admin)
    assert view.get("/admin/accounts/user/add/").status_code == 403
    assert view.post(f"/admin/accounts/user/{owner.pk}/delete/", {"post": "yes"}).status_code == 403


def test_the_record_is_read_only(browser, admin: User, owner: User) -> None:
    event = record_audit(actor=owner, action="test.done", obj=owner, reason="why")
    view = browser(admin)
    page = f"/admin/accounts/auditevent/{event.pk}"
    assert b"why" in view.get(f"{page}/change/").content
    assert view.post(f"{page}/change/", {"reason": "other"}).status_code == 403
    assert view.post(f"{page}/delete/", {"post": "yes"}).status_code == 403
    assert view.get("/admin/accounts/auditevent/add/").status_code == 403
    answer = view.post(
        "/admin/accounts/auditevent/", {"action": "delete_selected", "_selected_action": [event.pk], "post": "yes"}
    )
    assert answer.status_code in {302, 200}
    assert reason_of(AuditEvent.objects.with_people().get(action="test.done")) == "why"


def test_the_record_of_somebody_who_is_gone_opens(browser, admin: User) -> None:
    guest = make_guest()
    event = record_audit(actor=guest, action="test.done", obj=guest, reason="quokka")
    pseudonym = str(guest.audit_identity.pseudonym)
    guest.delete()
    view = browser(admin)
    for page in ("", f"{event.pk}/change/"):
        shown = view.get(f"/admin/accounts/auditevent/{page}").content.decode()
        assert pseudonym in shown
        assert "quokka" not in shown


def test_a_plain_user_and_a_stranger_get_none_of_it(browser, owner: User, client: Client) -> None:
    for view in (browser(owner), client):
        assert view.get("/admin/accounts/user/").status_code == 302
        assert view.post(change_page(owner), {"role": "admin", "reason": "x"}).status_code == 302
    owner.refresh_from_db()
    assert owner.role == "user"


@pytest.mark.parametrize("model", ["refreshfamily", "apikey"])
def test_admins_see_tokens_and_keys_but_no_secret_and_change_nothing(
    browser, admin: User, moderator: User, owner: User, model: str, django_assert_max_num_queries
) -> None:
    pair = families.open_family(user=owner, device="a script")
    for number in range(20):
        key, text = api_keys.create_key(user=owner, name=f"key {number}", scopes=[Scope.READ])
    page, row = browser(admin), pair.family if model == "refreshfamily" else key
    with django_assert_max_num_queries(10):
        shown = page.get(f"/admin/accounts/{model}/")
    one = page.get(f"/admin/accounts/{model}/{row.pk}/change/")
    for answer in (shown, one):
        assert answer.status_code == 200
        assert owner.username in answer.content.decode()
        for secret in (text, key.digest, str(pair.family.token_id), pair.refresh):
            assert secret not in answer.content.decode()
    assert page.post(f"/admin/accounts/{model}/{row.pk}/change/", {"device": "x"}).status_code == 403
    assert page.post(f"/admin/accounts/{model}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert page.get(f"/admin/accounts/{model}/add/").status_code == 403
    assert browser(moderator).get(f"/admin/accounts/{model}/").status_code == 403
