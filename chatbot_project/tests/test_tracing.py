"""What follows from a reply's id."""

from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.tracing import Identity


def test_each_reply_has_a_trace_of_its_own_and_always_the_same() -> None:
    replies = [uuid7() for _ in range(1000)]
    found = [Identity.of(reply) for reply in replies]
    assert found == [Identity.of(reply) for reply in replies]
    assert len({identity.trace_id for identity in found}) == len({identity.span_id for identity in found}) == 1000


def test_a_share_of_questions_is_that_share_of_replies_made_within_a_moment() -> None:
    places = [Identity.of(uuid7()).place for _ in range(20_000)]
    assert all(0 <= place < 1 for place in places)
    assert 0.08 < sum(place < 0.1 for place in places) / len(places) < 0.12
