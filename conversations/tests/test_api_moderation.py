"""What was held back, over the API: one's own and one's objection; the moderators' queue and their decisions."""

from typing import Any

import pytest
from django.core import mail
from django.test import Client

from accounts.models import AuditEvent, User
from accounts.services import set_suspended, suspend_for_violations
from accounts.tests.factories import make_admin, make_guest, make_moderator
from conversations.models import Message, ModerationItem, ModerationRule
from conversations.safety.findings import Finding, decide_item, record_finding
from personas.models import Persona

from .factories import ask, end

pytestmark = pytest.mark.django_db
OWN, QUEUE = "/api/v1/held-back", "/api/v1/moderation/queue"


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def question(owner: User, persona: Persona) -> Message:
    accepted = ask(owner, "quokka trap", persona=persona)
    end(accepted.reply, "", status="failed", error_code="content_blocked")
    rule = ModerationRule.objects.create(phrase="quokka trap", action="block", category="violence")
    record_finding(Finding(accepted.question.pk, rule.as_rule))
    return accepted.question


def post(client: Client, url: str, body: dict[str, Any]) -> Any:
    return client.post(url, body, content_type="application/json")


def test_a_person_lists_their_own_and_objects_once(owner: User, other: User, question: Message) -> None:
    (item,) = client_of(owner).get(OWN).json()["items"]
    assert (item["message"], item["role"], item["action"], item["state"]) == (str(question.pk), "user", "block", "open")
    assert item["can_object"]
    assert not {"note", "rule", "score"} & set(item), "among moderators"
    assert client_of(other).get(OWN).json()["items"] == []
    url = f"{OWN}/{item['id']}/object"
    assert post(client_of(other), url, {"text": "me"}).json()["code"] == "not_found"
    assert post(client_of(owner), url, {"text": "   "}).status_code == 400
    told = post(client_of(owner), url, {"text": "It is a band"}).json()
    assert (told["objection"], told["can_object"], told["state"]) == ("It is a band", False, "open")
    again = post(client_of(owner), url, {"text": "Again"})
    assert (again.status_code, again.json()["code"]) == (409, "not_offered")


def test_what_is_only_flagged_is_told_once_it_was_upheld(owner: User, question: Message) -> None:
    ModerationItem.objects.update(action="flag")
    assert client_of(owner).get(OWN).json()["items"] == []
    decide_item(item=ModerationItem.objects.get(), actor=make_moderator(), state="upheld")
    assert len(client_of(owner).get(OWN).json()["items"]) == 1


def test_moderators_see_the_queue_without_texts_and_that_is_recorded(owner: User, question: Message) -> None:
    ModerationRule.objects.update(phrase="the rule")
    moderator = make_moderator()
    answer = client_of(moderator).get(QUEUE, {"state": "open"})
    (item,) = answer.json()["items"]
    assert (item["person"], item["rule"], item["source"]) == (str(owner.pk), "the rule", "rule")
    assert "quokka" not in answer.content.decode()
    assert AuditEvent.objects.filter(action="moderation.read").count() == 1
    assert client_of(moderator).get(QUEUE, {"objected": "true"}).json()["items"] == []
    assert client_of(moderator).get(QUEUE, {"state": "upheld"}).json()["items"] == []
    assert client_of(moderator).get(QUEUE, {"state": "nonsense"}).status_code == 400


def test_moderators_decide_with_a_note_that_the_person_does_not_see(owner: User, question: Message) -> None:
    item = ModerationItem.objects.get()
    sent = {"state": "upheld", "note": "among us", "answer": "It is not a band."}
    told = post(client_of(make_moderator()), f"{QUEUE}/{item.pk}/decide", sent).json()
    assert (told["state"], told["note"], told["points"]) == ("upheld", "among us", 3)
    shown = client_of(owner).get(OWN)
    assert shown.json()["items"][0]["answer"] == "It is not a band."
    assert "among us" not in shown.content.decode()
    assert post(client_of(make_moderator()), f"{QUEUE}/{item.pk}/decide", {"state": "open"}).status_code == 400


# --- who is told by mail
@pytest.fixture
def delivered(django_capture_on_commit_callbacks: Any, settings: Any) -> Any:
    settings.CELERY_TASK_ALWAYS_EAGER = True

    def deliver(work: Any) -> list[Any]:
        mail.outbox.clear()
        with django_capture_on_commit_callbacks(execute=True):
            work()
        from accounts.tasks import send_waiting_mail

        send_waiting_mail()
        return list(mail.outbox)

    return deliver


def test_whoever_objected_is_told_of_the_decision_and_nobody_else(
    owner: User, question: Message, delivered: Any
) -> None:
    item, moderator = ModerationItem.objects.get(), make_moderator()
    assert delivered(lambda: decide_item(item=item, actor=moderator, state="upheld")) == []
    post(client_of(owner), f"{OWN}/{item.pk}/object", {"text": "It is a band"})
    (letter,) = delivered(lambda: decide_item(item=item, actor=moderator, state="dismissed", answer="Sorry."))
    assert letter.to == [owner.email]
    assert "Your objection was decided" in letter.subject
    html = letter.alternatives[0][0]
    assert "/held-back/" in letter.body
    assert "/held-back/" in html
    assert "Sorry." not in letter.body + html, "what was decided is read behind the sign-in"


def test_whoever_is_suspended_or_let_back_in_is_told_in_their_language(owner: User, delivered: Any) -> None:
    User.objects.filter(pk=owner.pk).update(language="de")
    (letter,) = delivered(lambda: suspend_for_violations(user=owner, points=15))
    assert letter.subject == "Ihr Konto ist gesperrt"
    assert "Ihr Konto ist gesperrt" in letter.alternatives[0][0]
    admin = make_admin()
    (letter,) = delivered(lambda: set_suspended(actor=admin, user=owner, suspended=False, reason="A mistake of ours"))
    assert letter.subject == "Ihr Konto ist wieder offen"
    assert "A mistake of ours" not in letter.body
    (letter,) = delivered(lambda: set_suspended(actor=admin, user=owner, suspended=True, reason="It was none"))
    assert letter.subject == "Ihr Konto ist gesperrt"


def test_a_guest_has_no_address_to_be_told_at(delivered: Any) -> None:
    guest = make_guest()
    assert delivered(lambda: suspend_for_violations(user=guest, points=15)) == []
    guest.refresh_from_db()
    assert not guest.is_active
