"""A conversation page by page: every message of the active branch once, whatever its length, in few queries."""

from uuid import UUID, uuid4

import pytest

from accounts.models import User
from conversations import keeping, services
from conversations.models import Conversation
from conversations.transcript import read_transcript
from personas.models import Persona

from .factories import ask, end, make_conversation, make_exchange

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 50])
def test_the_pages_join_to_the_whole_branch(owner: User, persona: Persona, limit: int) -> None:
    conversation = make_conversation(owner, turns=4)
    texts: list[str] = []
    before: UUID | None = None
    more, pages = True, 0
    while more:
        page = read_transcript(conversation, limit=limit, before=before)
        assert 0 < len(page.messages) <= limit
        texts = [message.text for message in page.messages] + texts
        before, more, pages = page.messages[0].id, page.more, pages + 1
    assert texts == [f"{kind} {number}" for number in range(1, 5) for kind in ("Question", "Reply")]
    assert pages == -(-8 // limit)


def test_only_the_active_branch_is_shown_with_its_siblings(owner: User, persona: Persona) -> None:
    first = make_exchange(owner, "One", "1")
    pk = first.conversation.pk
    edited = services.edit_message(user=owner, client_id="e", message_id=first.question.pk, text="Two")
    end(edited.reply, "2")
    again = services.regenerate_reply(user=owner, client_id="r", reply_id=edited.reply.pk)
    end(again.reply, "3")
    page = read_transcript(Conversation.objects.get(pk=pk))
    assert [(m.text, m.siblings) for m in page.messages] == [
        ("Two", [first.question.pk, edited.question.pk]), ("3", [edited.reply.pk, again.reply.pk]),
    ]  # fmt: skip
    keeping.select_branch(user=owner, conversation_id=pk, message_id=first.question.pk)
    page = read_transcript(Conversation.objects.get(pk=pk))
    assert [m.text for m in page.messages] == ["One", "1"]


@pytest.mark.parametrize(("turns", "branches"), [(1, 0), (3, 2), (25, 5)])
def test_it_takes_few_queries_whatever_there_is(
    owner: User, persona: Persona, turns: int, branches: int, django_assert_max_num_queries
) -> None:
    conversation = make_conversation(owner, turns=turns)
    reply = conversation.active_leaf
    for number in range(branches):
        end(services.regenerate_reply(user=owner, client_id=f"{number}", reply_id=reply.pk).reply)
    conversation.refresh_from_db()
    with django_assert_max_num_queries(4):
        page = read_transcript(conversation)
    assert len(page.messages[-1].siblings) == 1 + branches
    with django_assert_max_num_queries(4):
        read_transcript(conversation, before=page.messages[-1].id)


def test_another_conversations_message_opens_no_page(owner: User, persona: Persona) -> None:
    conversation, elsewhere = make_conversation(owner), make_conversation(owner)
    for before in (elsewhere.active_leaf_id, uuid4()):
        page = read_transcript(conversation, before=before)
        assert (page.messages, page.more) == ([], False)


def test_before_the_first_message_there_is_nothing(owner: User, persona: Persona) -> None:
    conversation = make_conversation(owner)
    first = read_transcript(conversation).messages[0].id
    page = read_transcript(conversation, before=first)
    assert (page.messages, page.more) == ([], False)


def test_html_is_there_for_replies_that_have_ended(owner: User, persona: Persona) -> None:
    made = make_exchange(owner, "**Q**", "**A** <script>")
    live = ask(owner, conversation_id=made.conversation.pk)
    page = read_transcript(Conversation.objects.get())
    question, reply, _second, waiting = page.messages
    assert (question.html, waiting.html, waiting.id) == ("", "", live.reply.pk)
    assert "<strong>A</strong>" in reply.html
    assert "<script>" not in reply.html


def test_feedback_is_shown_with_its_reply(owner: User, persona: Persona) -> None:
    made = make_exchange(owner)
    services.give_feedback(user=owner, message_id=made.reply.pk, value=-1, comment="No")
    reply = read_transcript(made.conversation).messages[-1]
    assert (reply.feedback, reply.feedback_comment) == (-1, "No")
