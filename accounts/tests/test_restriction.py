"""Processing paused: by the person or by an admin, recorded, and lifted by who may."""

import pytest
from django.test import Client
from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver

from accounts import restriction, services
from accounts.audit.reasons import reason_of
from accounts.models import AuditEvent, User
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.factories import PASSWORD, make_guest, make_user
from chatbot_project.lib.errors import ApplicationError

pytestmark = pytest.mark.django_db
URL = "privacy/restriction"


@pytest.fixture(autouse=True)
def _whole_site(settings) -> None:
    settings.ROOT_URLCONF = "chatbot_project.urls"


def change_page(user: User) -> str:
    return f"/admin/accounts/user/{user.pk}/change/"


def stored(user: User) -> tuple[bool, bool]:
    user.refresh_from_db()
    return user.restricted_at is not None, user.restricted_by_staff


def actions(user: User) -> list[str]:
    found = AuditEvent.objects.on(user).filter(action__startswith="processing.").order_by("pk")
    return list(found.values_list("action", flat=True))


# --- The API


def test_a_person_pauses_reads_that_and_lifts_it_and_each_change_is_recorded_once(owner: User, other: User) -> None:
    api = ApiClient.of(owner)
    assert api.get(URL).json() == {"restricted": False, "since": None, "by_staff": False, "ends_at": None}
    first, second = api.post(URL), api.post(URL)
    assert first.json() == second.json() == api.get(URL).json()
    assert (first.json()["restricted"], first.json()["by_staff"]) == (True, False)
    assert stored(other) == (False, False)
    assert [api.delete(URL).status_code, api.delete(URL).status_code] == [204, 204]
    assert stored(owner) == (False, False)
    assert actions(owner) == ["processing.restricted", "processing.resumed"]


def test_what_staff_paused_the_person_does_not_lift(owner: User, admin: User) -> None:
    restriction.restrict(actor=admin, user=owner, reason="disputed")
    assert refusal(ApiClient.of(owner).delete(URL)) == (403, "restricted_by_staff")
    ApiClient.of(owner).post(URL)
    assert stored(owner) == (True, True)


def test_staff_may_take_over_what_the_person_paused(owner: User, admin: User) -> None:
    since = restriction.restrict(actor=owner, user=owner).restricted_at
    restriction.restrict(actor=admin, user=owner, reason="disputed")
    assert stored(owner) == (True, True)
    assert owner.restricted_at == since
    assert actions(owner) == ["processing.restricted", "processing.restricted"]


@pytest.mark.parametrize("change", [restriction.restrict, restriction.resume])
def test_nobody_else_pauses_or_lifts(change, owner: User, other: User, moderator: User) -> None:
    for actor in (other, moderator):
        with pytest.raises(ApplicationError) as refused:
            change(actor=actor, user=owner, reason="x")
        assert refused.value.code == "forbidden"
    assert stored(owner) == (False, False)


def test_a_paused_person_signs_in_and_has_their_account_erased(owner: User) -> None:
    restriction.restrict(actor=owner, user=owner)
    tokens = ApiClient().post("auth/login", {"email": owner.email, "password": PASSWORD}).json()
    assert ApiClient(tokens["access"]).delete("me", {"password": PASSWORD}).status_code == 202


def test_v1_refuses_in_the_shape_of_openai(owner: User) -> None:
    api = ApiClient.of(owner)
    restriction.restrict(actor=owner, user=owner)
    body = {"model": "persona:x", "messages": [{"role": "user", "content": "Hello?"}]}
    answer = api.client.post("/v1/chat/completions", body, content_type="application/json", headers=api.headers)
    assert answer.status_code == 403
    assert (answer.json()["error"]["code"], answer.json()["error"]["type"]) == (
        "processing_restricted",
        "permission_error",
    )


# --- Guests


def test_what_a_guest_paused_is_paused_of_the_account_that_takes_them_over(owner: User, admin: User) -> None:
    guest = make_guest()
    restriction.restrict(actor=admin, user=guest, reason="disputed")
    services.merge_guest(guest=guest, user=owner)
    assert stored(owner) == (True, True)
    assert actions(owner) == ["processing.restricted"]


def test_a_guest_without_a_pause_leaves_the_accounts_as_it_is(owner: User) -> None:
    services.merge_guest(guest=make_guest(), user=owner)
    assert stored(owner) == (False, False)


# --- The pages


def test_the_page_pauses_and_lifts_and_every_page_says_so(browser, owner: User) -> None:
    view = browser(owner)
    assert b'id="restriction"' in view.get("/privacy/").content
    assert b"You have paused the processing" not in view.get("/accounts/profile/").content
    view.post("/privacy/restriction/", {"paused": "1"})
    assert stored(owner) == (True, False)
    for page in ("/privacy/", "/accounts/profile/", "/"):
        assert b"You have paused the processing" in view.get(page).content, page
    view.post("/privacy/restriction/", {"paused": "0"})
    assert stored(owner) == (False, False)


def test_the_page_offers_no_way_out_of_what_staff_paused(browser, owner: User, admin: User) -> None:
    restriction.restrict(actor=admin, user=owner, reason="disputed")
    view = browser(owner)
    page = view.get("/privacy/").content.decode()
    assert "Staff of this service have paused" in page
    assert 'action="/privacy/restriction/"' not in page
    assert "only they can lift it" in view.post("/privacy/restriction/", {"paused": "0"}, follow=True).content.decode()
    assert stored(owner) == (True, True)


def test_nobody_is_asked_to_sign_in_for_the_pause(client: Client) -> None:
    assert client.post("/privacy/restriction/", {"paused": "1"}).status_code == 302
    assert not User.objects.exclude(restricted_at=None).exists()


def routes(patterns: list, prefix: str = "") -> set[str]:
    """All that the URL configuration answers."""
    found = set()
    for entry in patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            found |= routes(entry.url_patterns, path)
        elif isinstance(entry, URLPattern):
            found.add(path)
    return found


def test_what_is_allowed_is_there() -> None:
    there = routes(get_resolver().url_patterns)
    assert {each.partition(" ")[2] for each in restriction.ALLOWED} - there == set()


def test_pages_change_nothing_but_what_is_allowed(browser, owner: User) -> None:
    view = browser(owner)
    restriction.restrict(actor=owner, user=owner)
    for page in ("/accounts/profile/", "/accounts/email/", "/accounts/keys/"):
        answer = view.post(page, {"username": "changed", "name": "x"}, headers={"Accept": "text/html"})
        assert answer.status_code == 403, page
        assert b"processing_restricted" in answer.content
    owner.refresh_from_db()
    assert owner.username == "owner"
    assert view.post("/accounts/profile/", {"username": "x"}).json()["code"] == "processing_restricted"
    assert view.post("/privacy/export/").status_code == 302
    assert view.post("/accounts/language/", {"language": "de"}).status_code == 302
    assert view.post("/accounts/sign-out/").status_code == 302


def test_a_page_of_somebody_else_is_not_touched(browser, owner: User, other: User) -> None:
    restriction.restrict(actor=owner, user=owner)
    assert browser(other).post("/accounts/profile/", {"username": "another"}).status_code != 403


# --- The admin


def test_an_admin_pauses_and_lifts_with_a_reason(browser, admin: User, owner: User) -> None:
    view, fields = browser(admin), {"role": "user", "is_active": "on"}
    view.post(change_page(owner), {**fields, "pause_processing": "on"})
    assert stored(owner) == (False, False)  # without a reason
    view.post(change_page(owner), {**fields, "pause_processing": "on", "reason": "disputed"})
    assert stored(owner) == (True, True)
    event = AuditEvent.objects.on(owner).get(action="processing.restricted")
    assert (event.actor.person, reason_of(event)) == (admin, "disputed")
    view.post(change_page(owner), {**fields, "pause_processing": "on", "role": "moderator", "reason": "helps"})
    assert stored(owner) == (True, True)
    view.post(change_page(owner), {**fields, "role": "moderator", "reason": "settled"})
    assert (stored(owner), owner.restriction_ends_at is not None) == ((True, True), True)  # announced
    view.post(change_page(owner), {**fields, "reason": "a typing mistake"})
    assert (stored(owner), owner.restriction_ends_at is not None) == ((True, True), True)
    view.post(change_page(owner), {**fields, "pause_processing": "on", "reason": "disputed again"})
    assert (stored(owner), owner.restriction_ends_at) == ((True, True), None)
    assert actions(owner) == ["processing.restricted", "processing.resuming", "processing.restricted"]


def test_a_moderators_change_of_a_person_leaves_the_pause(browser, moderator: User, admin: User) -> None:
    person = make_user()
    restriction.restrict(actor=admin, user=person, reason="disputed")
    view = browser(moderator)
    assert b"pause_processing" not in view.get(change_page(person)).content
    view.post(change_page(person), {"reason": "spam"})
    assert stored(person) == (True, True)
    assert not person.is_active
