"""Asking for a person where the assistant does not know: once, by its owner alone, seen by moderators."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.test import Client

from accounts.models import AuditEvent, User
from accounts.tests.factories import make_admin, make_moderator
from chatbot_project.lib.errors import ApplicationError
from conversations.hand_over import request_person, resolve_hand_over
from conversations.models import Conversation, HandOver, Message
from conversations.transcript import read_transcript
from personas.models import Persona

from .factories import ask, end

OFFERS = [{"kind": "rephrase", "text": "", "done": False}, {"kind": "handover", "text": "", "done": False}]
LIST = "/admin/conversations/handover/"


@pytest.fixture
def unknown(owner: User, persona: Persona) -> Message:
    """A reply that does not know and offers a person."""
    accepted = ask(owner, "quokka-question", persona=persona)
    return end(accepted.reply, "I do not know.", source="unknown", offers=OFFERS)


def client_of(user: User | None) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


def address(reply: Message) -> str:
    return f"/m/{reply.pk}/person/"


@pytest.mark.django_db
def test_owner_asks_for_a_person_once_and_the_page_says_so(owner: User, unknown: Message) -> None:
    before = Conversation.objects.get(pk=unknown.conversation_id).revision
    answers = [client_of(owner).post(address(unknown)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json()["conversation"]["revision"] for answer in answers] == [before + 1] * 2
    assert HandOver.objects.get().message == unknown
    conversation = Conversation.objects.select_related("persona_version").get(pk=unknown.conversation_id)
    shown = read_transcript(conversation).messages[-1]
    assert [(offer.kind, offer.done) for offer in shown.offers] == [("rephrase", False), ("handover", True)]
    page = client_of(owner).get(f"/c/{conversation.pk}/").content.decode()
    assert "A person has been told" in page


@pytest.mark.django_db
def test_nobody_else_asks(owner: User, other: User, unknown: Message) -> None:
    assert client_of(other).post(address(unknown)).status_code == 404
    assert AuditEvent.objects.filter(action="conversation.refused", actor__person=other).exists()
    assert client_of(None).post(address(unknown)).status_code == 401
    assert client_of(owner).get(address(unknown)).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner)
    assert strict.post(address(unknown)).status_code == 403
    assert not HandOver.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("offers", [None, [], OFFERS[:1]])
def test_only_where_it_is_offered(owner: User, persona: Persona, offers: list[dict[str, object]] | None) -> None:
    reply = end(ask(owner, persona=persona).reply, "A reply.", source="unknown", offers=offers)
    answer = client_of(owner).post(address(reply))
    assert (answer.status_code, answer.json()["code"]) == (409, "not_offered")
    question = reply.parent
    assert question
    assert client_of(owner).post(address(question)).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_asking_many_times_at_once_is_one_request(owner: User, unknown: Message) -> None:
    barrier = threading.Barrier(4)

    def request() -> bool:
        try:
            barrier.wait(10)
            request_person(user=owner, reply_id=unknown.pk)
            return True
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: request(), range(4)))
    assert HandOver.objects.count() == 1


@pytest.mark.django_db
def test_moderators_see_the_request_but_not_the_text_and_note_that_it_is_done(owner: User, unknown: Message) -> None:
    request_person(user=owner, reply_id=unknown.pk)
    made = HandOver.objects.get()
    pages = (LIST, f"{LIST}{made.pk}/change/", f"{LIST}{made.pk}/done/")
    for stranger in (None, owner):
        assert [client_of(stranger).get(url).status_code for url in pages] == [302] * 3
    moderator = make_moderator()
    view = client_of(moderator)
    for url in pages:
        source = view.get(url).content.decode()
        assert "quokka" not in source, url
        assert "do not know" not in source, url
        assert str(unknown.conversation_id) in source, url
    assert HandOver.objects.get().state == "open"
    assert view.post(f"{LIST}{made.pk}/done/").status_code == 302
    made.refresh_from_db()
    assert (made.state, made.resolved_by) == ("done", moderator)
    assert made.resolved_at
    view.post(f"{LIST}{made.pk}/done/")
    assert AuditEvent.objects.filter(action="hand_over.resolved").count() == 1
    assert view.post(f"{LIST}{made.pk}/delete/").status_code == 403


@pytest.mark.django_db
def test_who_may_not_resolve_a_request_is_refused(owner: User, unknown: Message) -> None:
    request_person(user=owner, reply_id=unknown.pk)
    with pytest.raises(ApplicationError) as refusal:
        resolve_hand_over(hand_over=HandOver.objects.get(), actor=owner)
    assert refusal.value.code == "not_allowed"
    assert resolve_hand_over(hand_over=HandOver.objects.get(), actor=make_admin()).state == "done"
