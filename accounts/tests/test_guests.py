from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client, RequestFactory
from django.utils import timezone

from accounts import limits, tasks
from accounts.models import SignUp, User
from accounts.retention import runs, sweeps
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import make_guest, make_user

pytestmark = pytest.mark.django_db


def idle(guest: User, **ago: float) -> User:
    User.objects.filter(pk=guest.pk).update(last_seen_at=timezone.now() - timedelta(**ago))
    return guest


def test_one_click_makes_a_guest(client: Client) -> None:
    assert client.post("/accounts/guest/").status_code == 302
    guest = User.objects.get()
    assert guest.is_guest
    assert guest.email is None
    assert not guest.has_usable_password()
    assert signed_in_person(client) == str(guest.pk)


def test_a_second_click_makes_no_second_guest(client: Client, browser, owner: User) -> None:
    client.post("/accounts/guest/")
    client.post("/accounts/guest/")
    browser(owner).post("/accounts/guest/")
    assert User.objects.filter(is_guest=True).count() == 1


def test_looking_at_pages_makes_nobody(client: Client) -> None:
    for path in ("/", "/accounts/sign-in/", "/accounts/sign-up/", "/accounts/password/forgot/"):
        assert client.get(path).status_code == 200
    assert client.get("/accounts/guest/").status_code == 405
    assert not User.objects.exists()
    assert "sessionid" not in client.cookies


def test_guests_can_be_switched_off(client: Client, settings) -> None:
    settings.ALLOW_GUESTS = False
    assert b"/accounts/guest/" not in client.get("/accounts/sign-in/").content
    answer = client.post("/accounts/guest/", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (403, "guests_not_allowed")
    assert not User.objects.exists()


def test_one_source_makes_only_so_many_guests(rf: RequestFactory) -> None:
    for _ in range(59):  # not by requests: every ten seconds there is a try more, and a slow machine takes so long
        limits.take_guest(rf.post("/accounts/guest/"))
    assert [Client().post("/accounts/guest/").status_code for _ in range(2)] == [302, 429]


def test_idle_guests_expire_and_nobody_else(settings, django_assert_max_num_queries) -> None:
    settings.GUEST_DAYS = 7
    idle(make_guest(), days=8)
    fresh = idle(make_guest(), days=6)
    member = idle(make_user(), days=800)
    assert tasks.expire_guests() == 1
    assert set(User.objects.all()) == {fresh, member}
    assert tasks.expire_guests() == 0


def test_guests_expire_in_bounded_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(sweeps._sweeps["guests"], batch=2)
    monkeypatch.setitem(sweeps._sweeps, "guests", small)
    for _ in range(5):
        idle(make_guest(), days=30)
    monkeypatch.setattr(runs, "monotonic", iter(range(100)).__next__)  # each look at the clock is a second
    monkeypatch.setattr(tasks, "SWEEPING_SECONDS", 2)
    assert tasks.expire_guests() == 4
    monkeypatch.setattr(tasks, "SWEEPING_SECONDS", 50)
    assert tasks.expire_guests() == 1


def test_being_here_keeps_a_guest(browser) -> None:
    guest = idle(make_guest(), days=6)
    browser(guest).get("/whoami/")
    guest.refresh_from_db()
    assert timezone.now() - guest.last_seen_at < timedelta(minutes=1)


def test_being_seen_is_noted_at_most_every_five_minutes(browser, django_assert_num_queries) -> None:
    guest = make_guest()
    page = browser(guest)
    idle(guest, minutes=4)
    with django_assert_num_queries(2):  # the session and the person
        page.get("/whoami/")
    idle(guest, minutes=6)
    with django_assert_num_queries(3):
        page.get("/whoami/")


def test_sign_ups_whose_link_has_run_out_are_cleared() -> None:
    SignUp.objects.create(email="old@example.org", password="x", created_at=timezone.now() - timedelta(days=4))
    kept = SignUp.objects.create(email="new@example.org", password="x")
    tasks.clear_expired()
    assert list(SignUp.objects.all()) == [kept]
