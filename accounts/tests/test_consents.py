"""The ledger of consents: what is asked, what is noted, what follows, and that nothing of it can be changed."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connection, connections, transaction
from django.db.models.query import QuerySet
from django.test import Client
from django.utils import translation

from accounts import services
from accounts.models import AppendOnly, AuditEvent, Consent, Purpose, SignUp, User
from accounts.privacy import consents
from accounts.privacy.policies import policies, policy_of
from accounts.signals import consent_withdrawn
from accounts.tests.api_client import ApiClient
from accounts.tests.factories import agree, make_guest, make_user
from chatbot_project.lib.errors import ApplicationError

URL = "privacy"
PAGE = Consent.Source.PAGE


@pytest.fixture
def texts(tmp_path: Path, settings) -> Callable[[int], None]:
    """Puts a version of the policy in force."""
    settings.POLICIES_DIR = tmp_path
    (tmp_path / "improvement").mkdir()

    def write(version: int) -> None:
        (tmp_path / "improvement" / f"{version}.en.md").write_text(f"# May we, version {version}\n\nIt *means* this.\n")
        policies.__globals__["_read"].cache_clear()

    write(1)
    return write


def decide(user: User, granted: bool, version: int = 1) -> Consent:
    return consents.decide(user=user, purpose="improvement", granted=granted, version=version, source=PAGE)


# --- Policies


def test_the_newest_version_is_in_force_in_the_readers_language_or_the_installations(texts, tmp_path: Path) -> None:
    texts(2)
    texts(10)
    (tmp_path / "improvement" / "10.de.md").write_text("# Dürfen wir\n\nJa.\n")
    (tmp_path / "improvement" / "notes.md").write_text("not a policy")
    policies.__globals__["_read"].cache_clear()
    policy = policy_of(Purpose.IMPROVEMENT)
    assert policy.version == 10
    assert (policy.text("de").title, policy.text("de-at").title) == ("Dürfen wir", "Dürfen wir")
    with translation.override("de"):
        assert policy.text().title == "Dürfen wir"
    assert policy.text("fr").title == "May we, version 10"
    assert policy.text("de").digest == sha256("# Dürfen wir\n\nJa.\n".encode()).hexdigest()


def test_an_installation_without_a_policy_is_told_so(tmp_path: Path, settings) -> None:
    settings.POLICIES_DIR = tmp_path
    with pytest.raises(ImproperlyConfigured, match="no policy"):
        policies()


def test_the_policies_that_come_with_nono_speak_every_language(settings) -> None:
    for policy in policies():
        assert {*policy.texts} == {code for code, _name in settings.LANGUAGES}
        assert all(text.title and text.body for text in policy.texts.values())


# --- The ledger


def test_a_decision_is_noted_with_version_hash_time_and_source(texts, owner: User) -> None:
    assert not consents.allows(owner, Purpose.IMPROVEMENT)
    made = decide(owner, True)
    assert consents.allows(owner, Purpose.IMPROVEMENT)
    assert (made.version, made.language, made.source) == (1, "en", "page")
    assert made.text_hash == sha256(b"# May we, version 1\n\nIt *means* this.\n").hexdigest()
    event = AuditEvent.objects.get()
    assert (event.action, event.details) == (
        "consent.granted",
        {"purpose": "improvement", "version": 1, "source": "page"},
    )


def test_the_same_decision_again_adds_nothing(texts, owner: User) -> None:
    assert decide(owner, True) == decide(owner, True)
    assert Consent.objects.count() == 1
    decide(owner, False)
    decide(owner, True)
    assert [each.granted for each in Consent.objects.order_by("id")] == [True, False, True]


def test_a_new_version_asks_anew_and_until_then_nothing_holds(texts, owner: User) -> None:
    decide(owner, True)
    assert consents.open_questions(owner) == []
    texts(2)
    assert not consents.allows(owner, Purpose.IMPROVEMENT)
    (asked,) = consents.open_questions(owner)
    assert (asked.is_open, asked.is_granted, asked.policy.version) == (True, False, 2)
    with pytest.raises(ApplicationError) as refused:
        decide(owner, True, version=1)
    assert (refused.value.code, refused.value.status) == ("policy_changed", 409)
    decide(owner, True, version=2)
    assert consents.allows(owner, Purpose.IMPROVEMENT)


def test_a_withdrawal_needs_no_version_and_is_told_in_its_transaction(texts, owner: User) -> None:
    told = []

    def hear(*, user: User, purpose: str, **kwargs: object) -> None:
        told.append((user, purpose, connection.in_atomic_block, consents.allows(user, Purpose.IMPROVEMENT)))

    decide(owner, True)
    consent_withdrawn.connect(hear)
    try:
        decide(owner, False, version=0)
    finally:
        consent_withdrawn.disconnect(hear)
    assert told == [(owner, Purpose.IMPROVEMENT, True, False)]


@pytest.mark.django_db(transaction=True)
def test_of_ten_equal_decisions_at_once_one_is_noted() -> None:
    owner = make_user()
    start = threading.Barrier(10)

    def click() -> None:
        start.wait(60)
        try:
            agree(owner)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as threads:
        for done in [threads.submit(click) for _ in range(10)]:
            done.result()
    assert Consent.objects.filter(user=owner).count() == 1


@pytest.mark.parametrize(
    "statement",
    ["UPDATE accounts_consent SET granted = true", "DELETE FROM accounts_consent", "TRUNCATE accounts_consent"],
)
def test_the_database_refuses_any_change_of_the_ledger(texts, owner: User, statement: str) -> None:
    decide(owner, False)
    with pytest.raises(IntegrityError, match="only added to"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert not Consent.objects.get().granted


def test_so_does_the_code(texts, owner: User) -> None:
    made = decide(owner, True)
    for change in (
        made.save,
        made.delete,
        Consent.objects.all().delete,
        lambda: Consent.objects.update(granted=False),
    ):
        with pytest.raises(AppendOnly):
            change()


def test_a_persons_lines_go_with_their_row_and_nobody_elses(texts, owner: User, other: User) -> None:
    decide(owner, True)
    decide(other, True)
    QuerySet.delete(User.objects.filter(pk=owner.pk))
    assert [each.user_id for each in Consent.objects.all()] == [other.pk]


# --- Signing up


def sign_up(browser: Client, **fields: str) -> SignUp:
    data = {"email": "new@example.org", "password": "correct horse battery", **fields}
    assert browser.post("/accounts/sign-up/", data).status_code == 302
    return SignUp.objects.get()


def test_signing_up_asks_and_the_account_begins_with_the_answer(texts, client: Client, db) -> None:
    page = client.get("/accounts/sign-up/").content.decode()
    assert "May we, version 1" in page
    assert "<em>means</em>" in page
    waiting = sign_up(client, **{"consent-improvement": "1"})
    user = services.complete_sign_up(waiting.pk, verified=True)
    made = Consent.objects.get(user=user)
    assert (made.granted, made.version, made.source, made.at) == (True, 1, "sign_up", waiting.created_at)


def test_a_box_left_empty_is_a_no_that_is_not_asked_again(texts, client: Client, db) -> None:
    user = services.complete_sign_up(sign_up(client).pk, verified=True)
    assert user is not None
    assert not Consent.objects.get().granted
    assert consents.open_questions(user) == []


def test_a_tick_below_an_older_text_says_nothing(texts, client: Client, db) -> None:
    texts(2)
    user = services.complete_sign_up(sign_up(client, **{"consent-improvement": "1"}).pk, verified=True)
    assert not Consent.objects.exists()
    texts(3)
    assert user is not None
    assert len(consents.open_questions(user)) == 1


def test_a_policy_that_changed_before_the_address_was_confirmed_is_asked_anew(texts, client: Client, db) -> None:
    waiting = sign_up(client, **{"consent-improvement": "1"})
    texts(2)
    services.complete_sign_up(waiting.pk, verified=True)
    assert not Consent.objects.exists()


def test_a_program_signs_up_with_decisions_or_without(texts, db) -> None:
    api = ApiClient()
    body = {"email": "new@example.org", "password": "correct horse battery"}
    said = [{"purpose": "improvement", "granted": True, "version": 1}]
    assert api.post("auth/register", {**body, "consents": said}).status_code == 202
    assert SignUp.objects.get().consents["improvement"]["granted"] is True
    assert api.post("auth/register", {**body, "email": "b@example.org"}).status_code == 202
    assert SignUp.objects.get(email="b@example.org").consents == {}
    said[0]["version"] = 2
    refused = api.post("auth/register", {**body, "consents": said})
    assert (refused.status_code, [*refused.json()["fields"]]) == (400, ["consents"])


# --- The page


def test_the_page_shows_what_is_asked_and_one_click_decides(texts, owner: User, browser) -> None:
    page = browser(owner)
    assert "You have not been asked yet" in page.get("/privacy/").content.decode()
    answer = page.post("/privacy/consents/improvement/", {"granted": "1", "version": "1"}, follow=True)
    assert answer.redirect_chain == [("/privacy/", 302)]
    assert "You agreed:" in answer.content.decode()
    assert "Withdraw" in answer.content.decode()
    answer = page.post("/privacy/consents/improvement/", {"granted": "0"}, follow=True)
    assert "You declined:" in answer.content.decode()
    assert not consents.allows(owner, Purpose.IMPROVEMENT)


@pytest.mark.parametrize("version", ["", "2", "x", "-1", "9" * 30, "²"])
def test_agreeing_to_another_text_than_the_one_in_force_is_refused(texts, owner: User, browser, version: str) -> None:
    answer = browser(owner).post("/privacy/consents/improvement/", {"granted": "1", "version": version}, follow=True)
    assert "The text has changed" in answer.content.decode()
    assert not Consent.objects.exists()


def test_the_notice_in_the_chat_says_where_it_was_asked_and_goes_back(texts, owner: User, browser) -> None:
    data = {"granted": "0", "from": "notice", "next": "/help/"}
    assert browser(owner).post("/privacy/consents/improvement/", data)["Location"] == "/help/"
    assert Consent.objects.get().source == "notice"
    data["next"] = "https://elsewhere.example/"
    assert browser(owner).post("/privacy/consents/improvement/", data)["Location"] == "/"


def test_guests_decide_for_themselves_and_nobody_for_others(texts, guest: User, owner: User, browser) -> None:
    assert browser(guest).get("/privacy/").status_code == 200
    browser(guest).post("/privacy/consents/improvement/", {"granted": "1", "version": "1", "user": str(owner.pk)})
    assert Consent.objects.get().user == guest
    assert browser(guest).post("/privacy/consents/everything/", {"granted": "1"}).status_code == 404
    assert browser(guest).get("/privacy/consents/improvement/").status_code == 405
    for response in (Client().get("/privacy/"), Client().post("/privacy/consents/improvement/")):
        assert (response.status_code, response["Location"].split("?")[0]) == (302, "/accounts/sign-in/")


# --- The API


def test_a_program_reads_the_policies_agrees_and_withdraws(texts, owner: User) -> None:
    (policy,) = ApiClient().get(f"{URL}/policies").json()["items"]
    assert (policy["purpose"], policy["version"], policy["title"]) == ("improvement", 1, "May we, version 1")
    api = ApiClient.of(owner)
    (asked,) = api.get(f"{URL}/consents").json()["items"]
    assert (asked["granted"], asked["is_open"], asked["decided_at"]) == (False, True, None)
    agreed = api.put(f"{URL}/consents/improvement", {"granted": True, "version": 1}).json()
    assert (agreed["granted"], agreed["is_open"], agreed["decided_in"]) == (True, False, "api")
    assert agreed["text_hash"] == policy["text_hash"] == Consent.objects.get().text_hash
    assert api.put(f"{URL}/consents/improvement", {"granted": False}).json()["granted"] is False


def test_a_program_is_refused_what_it_cannot_say(texts, owner: User) -> None:
    api = ApiClient.of(owner)
    for body, status, code in (
        ({"granted": True}, 409, "policy_changed"),
        ({"granted": True, "version": 2}, 409, "policy_changed"),
        ({"version": 1}, 400, "invalid"),
        ({"granted": True, "version": 10**9}, 400, "invalid"),
    ):
        answer = api.put(f"{URL}/consents/improvement", body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert api.put(f"{URL}/consents/everything", {"granted": True}).status_code == 404
    assert not Consent.objects.exists()


@pytest.fixture(autouse=True)
def _policies_as_they_are() -> Iterator[None]:
    yield
    policies.__globals__["_read"].cache_clear()


def test_a_guest_agrees_by_the_api(texts, db) -> None:
    guest = make_guest()
    answer = ApiClient.of(guest).put(f"{URL}/consents/improvement", {"granted": True, "version": 1})
    assert answer.status_code == 200
