"""The second factor for programs: signing in with a code, and what staff's tokens, keys and sessions do without."""

import pytest
from django.test import Client

from accounts import api_keys, authenticators, families, tickets
from accounts.api.authentication import bearer
from accounts.credentials import Credential, Kind
from accounts.models import RefreshFamily, User
from accounts.scopes import Scope
from accounts.second_factor import SHOWN, SecondFactorNeeded
from accounts.sockets import session_user
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def required(settings) -> None:
    settings.REQUIRE_STAFF_2FA = True


@pytest.fixture
def staff() -> User:
    return make_user("staff@example.org", PASSWORD, role="moderator")


def login(user: User, **more: str):
    return ApiClient().post("auth/login", {"email": user.email, "password": PASSWORD, **more})


def test_a_program_signs_in_with_a_code(owner: User, enrol) -> None:
    mine = enrol(owner)
    assert refusal(login(owner)) == (401, "code_needed")
    assert refusal(login(owner, code="000000")) == (401, "wrong_code")
    code = mine.app.next_code()
    pair = login(owner, code=code)
    assert pair.status_code == 200
    assert ApiClient(pair.json()["access"]).get("me").status_code == 200
    assert refusal(login(owner, code=code)) == (401, "wrong_code")
    assert login(owner, code=mine.recovery_codes[0]).status_code == 200
    assert refusal(login(owner, code=mine.recovery_codes[0])) == (401, "wrong_code")


def test_a_wrong_password_says_nothing_of_the_code(owner: User, enrol) -> None:
    mine = enrol(owner)
    body = {"email": owner.email, "password": "wrong", "code": mine.app.next_code()}
    assert refusal(ApiClient().post("auth/login", body)) == (401, "sign_in_failed")


def test_guesses_are_slowed(owner: User, enrol) -> None:
    enrol(owner)
    answers = [login(owner, code="000000").status_code for _ in range(7)]
    assert answers == [401] * 6 + [429]


def test_staff_without_it_sign_no_program_in(required, staff: User, owner: User) -> None:
    assert refusal(login(staff)) == (403, "second_factor_needed")
    assert login(owner).status_code == 200


def test_a_token_of_staff_keeps_what_it_has_shown(required, staff: User, enrol) -> None:
    mine = enrol(staff)
    first = login(staff, code=mine.app.next_code()).json()
    again = ApiClient().post("auth/refresh", {"refresh": first["refresh"]}).json()
    changed = ApiClient(again["access"]).post(
        "auth/password/change", {"password": PASSWORD, "new_password": "another correct horse"}
    )
    user, credential = bearer(changed.json()["access"])
    assert user.is_staff
    assert Scope.STAFF in credential.scopes


def test_a_token_from_before_is_one_of_any_person(settings, staff: User) -> None:
    pair = families.open_family(user=staff)
    assert bearer(pair.access)[0].is_staff
    settings.REQUIRE_STAFF_2FA = True
    user, credential = bearer(pair.access)
    assert not user.is_staff
    assert Scope.STAFF not in credential.scopes
    pair = families.refresh(token=pair.refresh)
    assert not bearer(pair.access)[0].is_staff
    assert not RefreshFamily.objects.get().second_factor


def test_a_password_change_does_not_raise_a_token(required, staff: User) -> None:
    pair = families.open_family(user=staff)
    changed = ApiClient(pair.access).post(
        "auth/password/change", {"password": PASSWORD, "new_password": "another correct horse"}
    )
    assert not bearer(changed.json()["access"])[0].is_staff


def test_a_key_is_good_for_staff_while_its_person_has_it(required, staff: User, enrol) -> None:
    with pytest.raises(SecondFactorNeeded):
        api_keys.create_key(user=staff, name="x", scopes=[Scope.STAFF])
    mine = enrol(staff)
    _key, text = api_keys.create_key(user=mine.user, name="x", scopes=[Scope.READ, Scope.STAFF])
    assert bearer(text)[0].is_staff
    authenticators.turn_off(user=mine.user)
    user, credential = bearer(text)
    assert not user.is_staff
    assert credential.scopes == {Scope.READ}


def test_a_key_made_before_it_was_required_is_held_to_it(settings, staff: User) -> None:
    _key, text = api_keys.create_key(user=staff, name="x", scopes=[Scope.STAFF])
    settings.REQUIRE_STAFF_2FA = True
    assert not bearer(text)[0].is_staff


def test_a_socket_is_held_to_what_its_session_has_shown(required, staff: User) -> None:
    page = Client()
    page.force_login(staff)
    assert not session_user(page.session.session_key).is_staff
    session = page.session
    session[SHOWN] = True
    session.save()
    assert session_user(session.session_key).is_staff


def test_a_ticket_carries_no_more_than_who_asked_for_it(required, staff: User) -> None:
    pair = families.open_family(user=staff)
    user, credential = bearer(pair.access)
    taken = tickets.take_ticket(tickets.issue_ticket(user=user, credential=credential))
    assert not taken.user.is_staff
    family = families.open_family(user=staff, second_factor=True).family
    shown = Credential(Kind.FAMILY, str(family.pk))
    assert tickets.take_ticket(tickets.issue_ticket(user=staff, credential=shown)).user.is_staff
