"""What replies cite, in the database: stored with the ending, by whoever holds the reply, and kept when it goes on."""

from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from conversations.models import Citation, Message
from conversations.replies import queue
from conversations.replies.live import LiveReply
from conversations.replies.queue import Ending
from conversations.replies.work import load_work
from faqs.tests.factories import make_faq
from personas.knowledge import as_sources
from personas.models import Persona
from personas.sources import Source

from .factories import ask

pytestmark = pytest.mark.django_db
LEASE = 8.0


@pytest.fixture
def claimed(owner: User, persona: Persona) -> queue.Claim:
    ask(owner, persona=persona)
    [claim] = queue.claim("w", {"fake": 1}, 0, LEASE)
    return claim


@pytest.fixture
def overtaken(claimed: queue.Claim) -> queue.Claim:
    """A claim whose reply somebody else holds by now."""
    Message.objects.filter(pk=claimed.reply).update(epoch=2, text="theirs")
    return claimed


def cited(faq: UUID | None, number: int = 1) -> Source:
    return Source(number, faq, "How?", "In which way?", 0.75)


def citations(reply: UUID) -> list[tuple[int, UUID | None, str]]:
    rows = Citation.objects.filter(message=reply).order_by("number")
    return [(row.number, row.faq_id, row.question) for row in rows]


def test_an_ending_stores_what_it_cites_in_the_same_statement(claimed: queue.Claim) -> None:
    faq = make_faq()
    ending = Ending("completed", "See [1].", source="model", citations=(cited(faq.pk),))
    with CaptureQueriesContext(connection) as queries:
        assert queue.finish(claimed.reply, claimed.epoch, ending)
    assert len(queries) == 1
    assert citations(claimed.reply) == [(1, faq.pk, "How?")]
    assert Message.objects.get(pk=claimed.reply).source == "model"


def test_an_ending_without_the_faq_leaves_no_trace_of_it(claimed: queue.Claim) -> None:
    assert queue.finish(claimed.reply, claimed.epoch, Ending("completed", "x"))
    row = Message.objects.get(pk=claimed.reply)
    assert (row.source, row.offers, citations(claimed.reply)) == (None, None, [])


def test_an_overtaken_worker_cites_nothing(overtaken: queue.Claim) -> None:
    ending = Ending("completed", "mine [1]", source="model", citations=(cited(make_faq().pk),))
    assert not queue.finish(overtaken.reply, overtaken.epoch, ending)
    assert not queue.hand_over(overtaken.reply, overtaken.epoch, ending)
    assert not Citation.objects.exists()


def test_an_faq_that_was_deleted_meanwhile_leaves_its_question(claimed: queue.Claim) -> None:
    ending = Ending("completed", "x [1]", source="model", citations=(cited(uuid4()),))
    assert queue.finish(claimed.reply, claimed.epoch, ending)
    assert citations(claimed.reply) == [(1, None, "How?")]


def test_a_reply_that_is_handed_over_takes_its_citations_along(claimed: queue.Claim) -> None:
    faq, other = make_faq(), make_faq()
    held = Ending("queued", "x [1]", source="model", citations=(cited(faq.pk),))
    assert queue.hand_over(claimed.reply, claimed.epoch, held)
    [again] = queue.claim("w2", {"fake": 9}, 9, LEASE)
    [work] = load_work([again]).values()
    assert [(source.number, source.faq) for source in work.cited] == [(1, faq.pk)]
    both = Ending("completed", "x [1] [2]", source="model", citations=(*work.cited, cited(other.pk, 2)))
    assert queue.finish(again.reply, again.epoch, both)
    assert citations(claimed.reply) == [(1, faq.pk, "How?"), (2, other.pk, "How?")]


def test_the_ending_of_an_orphan_says_what_its_text_cites(claimed: queue.Claim) -> None:
    faq = make_faq()
    held = Ending("queued", "x [1]", source="model", citations=(cited(faq.pk),))
    queue.hand_over(claimed.reply, claimed.epoch, held)
    orphan = queue.Orphan(claimed.reply, claimed.conversation, 2, "x [1]", "model")
    ending = queue.orphan_ending(orphan, "interrupted", "x [1] and")
    assert [source.faq for source in ending.citations] == [faq.pk]
    plain = queue.Orphan(claimed.reply, claimed.conversation, 2, "x")
    assert queue.orphan_ending(plain, "interrupted", "x").citations == ()


def test_plain_replies_read_and_write_nothing_of_the_faq(claimed: queue.Claim) -> None:
    with CaptureQueriesContext(connection) as queries:
        [work] = load_work([claimed]).values()
        queue.finish(claimed.reply, claimed.epoch, Ending("completed", "x"))
    assert work.cited == ()
    asked = " ".join(query["sql"] for query in queries)
    assert "faqs_" not in asked
    assert "citation" not in asked


def test_the_note_of_citations_goes_before_the_ending_and_only_where_there_are_any(claimed: queue.Claim) -> None:
    [work] = load_work([claimed]).values()
    live = LiveReply.of(claimed, work)
    assert len(live.last_entries(Ending("completed", "x"))) == 1
    note, end = live.last_entries(Ending("completed", "x [1]", source="model", citations=(cited(uuid4()),)))
    assert b'"type":"reply.citations"' in note.frame
    assert b'"type":"reply.completed"' in end.frame
    assert (note.epoch, note.seq) == (end.epoch, end.seq) == (1, 5)


def test_a_number_that_a_text_names_is_given_to_nothing_else() -> None:
    class Match:
        def __init__(self, faq: UUID) -> None:
            self.faq, self.question, self.phrasing, self.confidence, self.answer = faq, "q", "p", 0.9, "a"

    known, new = uuid4(), uuid4()
    numbered = as_sources([Match(new), Match(known)], earlier=[cited(known, 2)], text="Lost [1], known [2].")  # type: ignore[list-item]
    assert [(source.faq, source.number) for source in numbered] == [(new, 3), (known, 2)]
