"""What the page's scripts make of the protocol: ``static/js/protocol.js``, run by node."""

import shutil

import pytest

from conversations.tests.page_reducer import (
    CONVERSATION,
    Page,
    accepted,
    delta,
    event,
    follows,
    info,
    node,
    page,
    question,
    reply,
    snapshot,
    updated,
)

__all__ = ["node", "page"]  # fixtures
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


# --- one reply ------------------------------------------------------------------------------------------------------


def test_deltas_are_put_together_in_code_points(page: Page) -> None:
    commands = page.take(
        accepted(1, question(), reply()),
        event("started", 1, 0),
        delta(1, 0, "Grüße 👩‍🚀"),
        delta(1, 9, " 🌍!"),
    )
    assert commands == []
    assert page.texts == ["Question", "Grüße 👩‍🚀 🌍!"]
    assert page.shown[1]["seq"] == 12


def test_a_delta_seen_before_changes_nothing_and_one_that_overlaps_adds_its_end(page: Page) -> None:
    page.take(accepted(1, question(), reply()), event("started", 1, 0), delta(1, 0, "ab🌍"))
    assert page.take(delta(1, 0, "ab"), delta(1, 1, "b🌍cd")) == []
    assert page.texts[1] == "ab🌍cd"


def test_a_gap_makes_it_follow_anew_once_with_what_it_holds(page: Page) -> None:
    page.take(accepted(1, question(), reply()), event("started", 1, 0), delta(1, 0, "one "))
    commands = page.take(delta(1, 8, "three "), delta(1, 14, "four "))
    assert follows(commands) == [{"r1": [1, 4]}]
    assert page.texts[1] == "one "
    page.take(snapshot(1, question(), reply(status="streaming", epoch=1, text="one")), delta(1, 4, "two three four "))
    assert page.texts[1] == "one two three four "


def test_a_new_epoch_is_never_joined_to_the_text_of_an_old_one(page: Page) -> None:
    page.take(accepted(1, question(), reply()), event("started", 1, 0), delta(1, 0, "old"))
    assert follows(page.take(delta(2, 3, " new"))) == [{"r1": [1, 3]}]
    page.take(snapshot(1, question(), reply(status="streaming", epoch=2)), event("snapshot", 2, 4, text="anew"))
    assert page.texts[1] == "anew"
    assert page.take(delta(1, 3, " late")) == []
    assert page.texts[1] == "anew"


def test_finished_blocks_are_cut_off_the_open_rest(page: Page) -> None:
    page.take(
        accepted(1, question(), reply()),
        event("started", 1, 0),
        delta(1, 0, "🌍 one\n\ntwo", [{"end": 7, "html": "<p>🌍 one</p>"}]),
        delta(1, 10, "\n\nthree", [{"end": 12, "html": "<p>two</p>"}]),
    )
    assert [block["html"] for block in page.shown[1]["blocks"]] == ["<p>🌍 one</p>", "<p>two</p>"]
    assert page.shown[1]["tail"] == "three"


def test_a_checkpoint_is_only_a_preview_of_the_stream(page: Page) -> None:
    """A snapshot's text of a live reply has no blocks and may end anywhere, so the stream is taken from its start."""
    page.take(snapshot(1, question(), reply(status="streaming", epoch=1, text="one\n\ntw")))
    assert (page.shown[1]["text"], page.shown[1]["preview"]) == ("", "one\n\ntw")
    assert follows(page.take({"type": "ready", "protocol": 1})) == [{"r1": [1, 0]}]
    page.take(event("snapshot", 1, 8, text="one\n\ntwo", blocks=[{"end": 5, "html": "<p>one</p>"}]))
    assert (page.shown[1]["preview"], page.shown[1]["tail"]) == ("", "two")


def test_an_end_replaces_the_text_and_nothing_streams_after_it(page: Page) -> None:
    page.take(accepted(1, question(), reply()), event("started", 1, 0), delta(1, 0, "one"))
    page.take(event("completed", 1, 7, text="one two", html="<p>one two</p>", code="", detail="", finish_reason="stop"))
    page.take(
        delta(1, 3, " x"), event("started", 1, 0), event("queued", 1, 0, position=2), event("snapshot", 1, 1, text="x")
    )
    page.take(snapshot(1, question(), reply(status="streaming", epoch=1, text="one")))
    assert (page.shown[1]["status"], page.shown[1]["text"], page.shown[1]["html"]) == (
        "completed",
        "one two",
        "<p>one two</p>",
    )


def test_a_continued_reply_goes_on_behind_its_text(page: Page) -> None:
    page.take(accepted(1, question(), reply()), event("started", 1, 0), delta(1, 0, "one "))
    page.take(event("interrupted", 1, 4, text="one ", html="<p>one</p>", code="llm_cut", detail="Cut."))
    page.take(accepted(2, question(), reply(text="one ", epoch=1)), event("started", 2, 4), delta(2, 4, "two"))
    assert (page.shown[1]["status"], page.shown[1]["text"], page.shown[1]["tail"]) == (
        "streaming",
        "one two",
        "one two",
    )


def test_a_reply_that_is_queued_again_starts_over(page: Page) -> None:
    page.take(accepted(1, question(), reply()), event("started", 1, 0), event("queued", 1, 0, position=3))
    assert (page.shown[1]["status"], page.shown[1]["position"]) == ("queued", 3)
    page.take(event("started", 2, 0), delta(2, 0, "text"))
    assert page.texts[1] == "text"


# --- branches and several tabs --------------------------------------------------------------------------------------


def test_an_edit_cuts_the_branch_and_counts_the_versions(page: Page) -> None:
    page.take(snapshot(1, question(), reply(status="completed", text="a"), question("q2", "r1"), reply("r2", "q2")))
    page.take(accepted(2, question("q1b"), reply("r1b", "q1b")))
    assert [m["id"] for m in page.shown] == ["q1b", "r1b"]
    assert page.shown[0]["siblings"] == ["q1", "q1b"]
    assert page.shown[1]["siblings"] == ["r1b"]


def test_another_reply_stands_beside_the_first(page: Page) -> None:
    page.take(snapshot(1, question(), reply(status="completed", text="a", siblings=["r0", "r1"])))
    page.take(accepted(2, question(), reply("r2")))
    assert [m["id"] for m in page.shown] == ["q1", "r2"]
    assert page.shown[1]["siblings"] == ["r0", "r1", "r2"]


def test_another_reply_to_a_question_of_a_branch_that_is_not_shown_is_asked_for(page: Page) -> None:
    page.take(snapshot(1, question("q1b"), reply("r1b", "q1b", status="completed")))
    event = accepted(2, question(), reply("r2")) | {"message": question(client_id="older")}
    assert len(follows(page.take(event))) == 1
    assert [m["id"] for m in page.shown] == ["q1b", "r1b"]


def test_the_same_acknowledgement_again_changes_nothing(page: Page) -> None:
    page.take(accepted(1, question(), reply()))
    page.take(event("started", 1, 0), event("completed", 1, 1, text="a", html="a", code="", detail=""))
    page.take(accepted(2, question("q2", "r1"), reply("r2", "q2")))
    page.take(accepted(2, question(), reply(status="completed", text="a", epoch=1)))
    assert [m["id"] for m in page.shown] == ["q1", "r1", "q2", "r2"]


def test_an_answer_to_what_was_stored_before_does_not_say_what_is_shown_now(page: Page) -> None:
    page.take(snapshot(2, question(), reply(status="completed", text="One")))
    commands = page.take(accepted(3, question(), reply(status="completed", text="One")) | {"again": True})
    assert len(follows(commands)) == 1, "the conversation has gone on since"
    page.take(snapshot(3, question("q2"), reply("r2", "q2", status="queued")))
    assert page.take(accepted(3, question(), reply(status="completed", text="One")) | {"again": True}) == []
    assert [shown["id"] for shown in page.shown] == ["q2", "r2"]


def test_news_of_another_tab_is_asked_for_and_its_own_is_not(page: Page) -> None:
    page.take(snapshot(1, question(), reply(status="completed", text="a")))
    page.take({"type": "local.sent", "client_id": "mine"})
    assert page.take(updated(2, "mine")) == []
    assert follows(page.take(accepted(2, question("q2", "r1"), reply("r2", "q2")))) == []
    assert follows(page.take(updated(3))) == [{"r2": [0, 0]}]
    assert page.take(updated(3), updated(2)) == []


def test_a_change_that_it_never_heard_of_is_noticed_by_its_own_acknowledgement(page: Page) -> None:
    page.take(snapshot(1, question(), reply(status="completed", text="a")))
    assert follows(page.take(accepted(3, question("q2", "r1"), reply("r2", "q2")))) == [{"r2": [0, 0]}]


def test_a_snapshot_older_than_the_news_is_asked_for_again(page: Page) -> None:
    page.take(snapshot(1, question()), updated(2))
    assert page.take(updated(3)) == []
    assert len(follows(page.take(snapshot(2, question())))) == 1
    assert page.take(snapshot(3, question())) == []


def test_news_that_come_before_the_first_snapshot_are_asked_for(page: Page) -> None:
    """That snapshot may have been read before what they tell of."""
    assert len(follows(page.take(updated(2)))) == 1
    page.take(snapshot(1, question()))
    assert page.take(snapshot(2, question("q2"))) == []
    assert [m["id"] for m in page.shown] == ["q2"]


def test_a_reply_of_a_branch_that_is_not_shown_is_asked_for_once(page: Page) -> None:
    page.take(snapshot(1, question(), reply(status="completed", text="a")))
    assert len(follows(page.take(event("started", 1, 0, pk="elsewhere")))) == 1
    page.take(snapshot(1, question(), reply(status="completed", text="a")))
    assert len(follows(page.take(event("delta", 1, 1, pk="elsewhere", text="x")))) <= 1
    assert page.texts == ["Question", "a"]


def test_earlier_messages_stay_when_a_snapshot_brings_the_newest_again(page: Page) -> None:
    newest = [question("q2", "r1"), reply("r2", "q2", status="completed", text="b")]
    page.take(snapshot(1, *newest, more=True))
    earlier = [question(), reply(status="completed", text="a")]
    page.take({"type": "local.earlier", "conversation": CONVERSATION, "messages": earlier, "more": False})
    page.take(snapshot(2, *newest, more=True))
    assert [m["id"] for m in page.shown] == ["q1", "r1", "q2", "r2"]
    page.take(snapshot(3, question("q2b", "r1b"), reply("r2b", "q2b"), more=True))
    assert [m["id"] for m in page.shown] == ["q2b", "r2b"]


def test_unknown_events_and_other_conversations_change_nothing(page: Page) -> None:
    page.take(snapshot(1, question()))
    before = page.shown
    other = snapshot(1, question("z")) | {"conversation": info() | {"id": "another"}}
    assert page.take({"type": "something.new"}, {"type": "pong"}, other) == []
    assert page.shown == before


CITED = [{"number": 1, "faq": "f1", "question": "How?"}]


def test_what_a_reply_cites_comes_before_its_end_and_stays(page: Page) -> None:
    page.take(snapshot(1, question(), reply()), event("started", 1, 0), delta(1, 0, "x [1]", []))
    page.take(event("citations", 1, 5, citations=CITED))
    assert page.shown[1]["citations"] == CITED
    end = {"text": "x [1]", "html": "<p>x</p>", "source": "model", "citations": CITED, "offers": []}
    page.take(event("completed", 1, 5, **end))
    assert (page.shown[1]["citations"], page.shown[1]["source"]) == (CITED, "model")


def test_what_an_earlier_epoch_or_another_reply_cites_is_not_shown(page: Page) -> None:
    page.take(snapshot(1, question(), reply()), event("started", 2, 0))
    page.take(event("citations", 1, 0, citations=CITED), event("citations", 3, 0, citations=CITED))
    assert not page.shown[1].get("citations")


def test_an_ending_brings_what_is_offered_and_a_snapshot_what_became_of_it(page: Page) -> None:
    page.take(snapshot(1, question(), reply()), event("started", 1, 0))
    offers = [{"kind": "handover", "text": "", "done": False}]
    page.take(event("completed", 1, 1, text="?", html="?", source="unknown", citations=[], offers=offers))
    assert page.shown[1]["offers"] == offers
    done = reply(status="completed", epoch=1, text="?", html="?", source="unknown", offers=[offers[0] | {"done": True}])
    page.take(snapshot(2, question(), done))
    assert page.shown[1]["offers"][0]["done"] is True
