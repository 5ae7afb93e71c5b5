"""What is done with accounts and others' data leaves its event, and nothing of an address or a secret in it."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import api_keys, families, services, tasks
from accounts.credentials import Credential, Kind
from accounts.models import ApiKey, AuditEvent, User
from accounts.scopes import Scope
from accounts.sign_ins import end_sign_in, sign_ins_of
from accounts.tests.api_client import ApiClient
from accounts.tests.factories import PASSWORD, make_guest

pytestmark = pytest.mark.django_db

WRONG = "wrong-password-quokka"


def told() -> list[tuple]:
    """Who did what to whom, oldest first."""
    events = AuditEvent.objects.with_people().order_by("pk")
    return [
        (
            event.actor.person.username if event.actor else None,
            event.action,
            event.subject.person.username if event.subject else None,
            event.details,
        )
        for event in events
    ]


def test_signing_in_and_out_on_the_page(owner: User, sign_in: Callable[..., Client]) -> None:
    browser = sign_in(owner.email)
    browser.post("/accounts/sign-out/")
    assert told() == [
        ("owner", "sign_in.succeeded", "owner", {"way": "page"}),
        ("owner", "sign_in.ended", "owner", {"way": "page"}),
    ]


def test_signing_in_adds_one_insert(owner: User, sign_in: Callable[..., Client], monkeypatch) -> None:
    with CaptureQueriesContext(
        connection,
    ) as found:
        sign_in(owner.email)
    mine = [query["sql"] for query in found if "audit" in query["sql"]]
    assert len(mine) == 1
    assert "INSERT INTO accounts_auditevent" in mine[0]


def test_signing_in_and_out_with_a_token(owner: User) -> None:
    client = ApiClient()
    body = client.post("auth/login", {"email": owner.email, "password": PASSWORD}).json()
    client.post("auth/logout", {"refresh": body["refresh"]})
    assert told() == [
        ("owner", "sign_in.succeeded", "owner", {"way": "token"}),
        ("owner", "sign_in.ended", "owner", {"way": "token", "how": "signed_out"}),
    ]


def test_a_replayed_token_is_nobodys_deed(owner: User) -> None:
    first = families.open_family(user=owner)
    families.refresh(token=first.refresh)
    with pytest.raises(families.TokenRefused):
        families.refresh(token=first.refresh)
    assert told()[-1] == (None, "sign_in.ended", "owner", {"way": "token", "how": "replayed"})


@pytest.mark.parametrize("way", ["page", "token"])
def test_failures_say_whose_and_why_and_never_the_address(
    owner: User, other: User, sign_in: Callable[..., Client], way: str, settings
) -> None:
    services.set_suspended(
        actor=User.objects.create_superuser("root@example.org"), user=other, suspended=True, reason="x"
    )
    before = AuditEvent.objects.count()

    def attempt(email: str, password: str) -> None:
        if way == "page":
            sign_in(email, password)
        else:
            ApiClient().post("auth/login", {"email": email, "password": password})

    attempt(owner.email, WRONG)
    attempt("quokka@example.org", WRONG)
    attempt(other.email, PASSWORD)
    settings.REQUIRE_VERIFIED_EMAIL = True
    User.objects.filter(pk=owner.pk).update(email_verified_at=None)
    attempt(owner.email, PASSWORD)
    assert told()[before:] == [
        (None, "sign_in.failed", "owner", {"why": "password"}),
        (None, "sign_in.failed", None, {"why": "unknown"}),
        (None, "sign_in.failed", "other", {"why": "suspended"}),
        (None, "sign_in.failed", "owner", {"why": "unverified"}),
    ]
    assert "quokka" not in str(list(AuditEvent.objects.values()))


def test_known_and_unknown_addresses_cost_the_same_queries(owner: User, sign_in, django_assert_num_queries) -> None:
    counts = []
    for email in (owner.email, "nobody@example.org"):
        with CaptureQueriesContext(connection) as found:
            sign_in(email, WRONG)
        counts.append(len(found))
    assert counts[0] == counts[1]


def test_guests_leave_no_trace(client: Client) -> None:
    client.post("/accounts/guest/")
    assert User.objects.filter(is_guest=True).exists()
    families.open_family(user=make_guest())
    client.post("/accounts/sign-out/")
    assert told() == []


def test_passwords_addresses_and_the_ends_of_sessions(owner: User) -> None:
    services.change_password(user=owner, password="another-quokka-9")
    services.end_sessions(user=owner)
    assert told() == [
        ("owner", "password.changed", "owner", {}),
        ("owner", "sign_in.ended", "owner", {"how": "everywhere"}),
    ]
    assert "quokka" not in str(list(AuditEvent.objects.values()))


def test_a_new_address_and_a_reset(owner: User, mailed_link: Callable[[], str], browser) -> None:
    page = browser(owner)
    page.post("/accounts/email/", {"email": "quokka@example.org", "password": PASSWORD})
    page.post(mailed_link())
    Client().post("/accounts/password/forgot/", {"email": "quokka@example.org"})

    mail.outbox = []
    tasks.send_waiting_mail()
    link = next(re.search(r"/accounts/link/reset/\S+", each.body) for each in mail.outbox if "/reset/" in each.body)
    Client().post(link.group(), {"new_password": "new-quokka-password-1"})
    actions = [action for _, action, _, _ in told()]
    assert actions == [
        "sign_in.succeeded", "email.changed", "password.reset", "sign_in.succeeded",
    ]  # fmt: skip
    assert "quokka" not in str(list(AuditEvent.objects.values()))


def test_a_session_ended_elsewhere(owner: User, browser) -> None:
    browser(owner)
    (session,) = sign_ins_of(owner, Credential(Kind.SESSION, "another"))
    end_sign_in(user=owner, sign_in_id=session.id)
    assert told()[-1] == ("owner", "sign_in.ended", "owner", {"way": "page", "how": "ended"})


def test_an_account_is_made_and_verified(mailed_link: Callable[[], str]) -> None:
    browser = Client()
    browser.post("/accounts/sign-up/", {"email": "new@example.org", "password": "long-enough-quokka-1"})
    browser.post(mailed_link())
    assert [(actor, action, subject) for actor, action, subject, _ in told() if "consent" not in action] == [
        ("new", "user.created", "new"),
        ("new", "email.verified", "new"),
        ("new", "sign_in.succeeded", "new"),
    ]


def test_power_that_nobody_gave_is_recorded() -> None:
    User.objects.create_superuser("root@example.org", "x")
    assert told() == [(None, "user.created", "root", {"role": "admin"})]


def test_keys_are_recorded_when_made_first_used_in_a_day_and_revoked(owner: User) -> None:
    key, text = api_keys.create_key(user=owner, name="quokka", scopes=[Scope.READ])
    for _ in range(3):
        assert api_keys.find_key(text)
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    api_keys.find_key(text)
    used = ["key.used"] if (timezone.now() - timedelta(minutes=2)).date() == timezone.now().date() else ["key.used"] * 2
    assert [action for _, action, _, _ in told()] == ["key.created", *used]
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(days=1))
    api_keys.find_key(text)
    api_keys.revoke_key(user=owner, key_id=key.pk)
    assert [action for _, action, _, _ in told()] == ["key.created", *used, "key.used", "key.revoked"]
    assert {event[:1] + event[2:3] for event in told()} == {("owner", "owner")}
    assert set(AuditEvent.objects.values_list("object_id", flat=True)) == {str(key.pk)}
    assert text not in str(list(AuditEvent.objects.values()))


@pytest.mark.parametrize(
    ("page", "action", "about"),
    [
        ("user/", "user.listed", None),
        ("user/{owner.pk}/change/", "user.shown", "owner"),
        ("apikey/", "apikey.listed", None),
        ("apikey/{key.pk}/change/", "apikey.shown", "owner"),
        ("refreshfamily/", "refreshfamily.listed", None),
    ],
)
def test_looking_at_others_data_in_the_admin(
    admin: User, owner: User, browser, page: str, action: str, about: str | None
) -> None:
    key, _text = api_keys.create_key(user=owner, name="a key", scopes=[Scope.READ])
    view = browser(admin)
    before = AuditEvent.objects.count()
    assert view.get(f"/admin/accounts/{page.format(owner=owner, key=key)}").status_code == 200
    assert told()[before:] == [(admin.username, action, about, {"role": "admin"})]


def test_who_may_not_look_is_not_recorded_as_looking(moderator: User, owner: User, browser) -> None:
    view = browser(owner)
    assert view.get(f"/admin/accounts/user/{moderator.pk}/change/").status_code == 302
    assert [action for _, action, _, _ in told()] == ["sign_in.succeeded"]
