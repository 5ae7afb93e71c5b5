"""Questions that were not answered: kept without personal data, once each, and grouped, also when many come at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from django.core.exceptions import ValidationError
from django.db import connections

from accounts.audit.reasons import reason_of
from accounts.models import AuditEvent, User
from accounts.tests.factories import agree, make_moderator, make_user
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.ids import uuid7
from faqs import embedding, gaps, services
from faqs.embedding import EmbeddingError, embedder
from faqs.models import FAQ, EmbeddingModel, Gap, GapQuestion, KnowledgeState
from faqs.tests.factories import make_faq, make_index

pytestmark = pytest.mark.django_db


def record(text: str, **fields: Any) -> GapQuestion | None:
    values: dict[str, Any] = {"language": "en", "source": "below_floor", "source_id": uuid7(), "person": None}
    return gaps.record_gap_question(text=text, **(values | fields))


def gap_of(text: str, **fields: Any) -> Gap:
    question = record(text, **fields)
    assert question is not None
    return question.gap


# --- What is kept ----------------------------------------------------------------------------------------------------
def test_a_question_begins_a_gap() -> None:
    person = agree(make_user())
    question = record(" How do I\r\n reset\x00 my PIN?  ", person=person)
    assert question is not None
    gap = question.gap
    assert (question.text, question.source, question.person, question.faq) == (
        "How do I reset my PIN?", "below_floor", person, None,
    )  # fmt: skip
    assert (gap.question, gap.language, gap.status, gap.count) == ("How do I reset my PIN?", "en", "open", 1)
    assert gap.first_seen_at == gap.last_seen_at
    assert gap.model.name == "embedded/wordllama"
    assert np.linalg.norm(gap.vector) == pytest.approx(1, abs=1e-5)


def test_personal_data_is_taken_out_of_the_text_and_of_the_vector() -> None:
    text = "I am bob@example.org, why was 4111 1111 1111 1111 declined?"
    told = embedder().embed([text])[0]
    question = record(text, vector=told)
    assert question is not None
    assert question.text == question.gap.question == "I am [E-MAIL], why was [CARD] declined?"
    expected = embedder().embed(["I am , why was declined?"])[0]
    assert np.allclose(question.gap.vector, expected, atol=1e-6)
    assert not np.allclose(question.gap.vector, told, atol=1e-3)


def test_a_long_text_is_cut_after_personal_data_is_taken_out() -> None:
    question = record("word " * 98 + "4111 1111 1111 1111 " + "word " * 50)
    assert question is not None
    assert len(question.text) <= 500
    assert "4111" not in question.text


@pytest.mark.parametrize("text", ["", " \n\x00", "?!", "bob@example.org", "[CARD] !", "\ud800"])
def test_where_nothing_is_left_to_answer_nothing_is_kept(text: str) -> None:
    assert record(text) is None
    assert not Gap.objects.exists()


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ApplicationError) as refusal:
        record("How?", source="rumour")
    assert refusal.value.code == "source_unknown"


@pytest.mark.parametrize(
    ("given", "kept"), [("DE", "de"), ("pt-br", "pt-br"), ("", "en"), ("<b>", "en"), ("x" * 99, "en")]
)
def test_a_language_that_is_none_becomes_the_sites(given: str, kept: str) -> None:
    assert gap_of("Wie geht das?", language=given).language == kept


# --- Once each -------------------------------------------------------------------------------------------------------
def test_the_same_reply_counts_once_for_each_source() -> None:
    source_id = uuid7()
    first = record("How do I pay?", source_id=source_id)
    assert record("Something else altogether", source_id=source_id) == first
    assert Gap.objects.get().count == 1
    record("How do I pay?", source_id=source_id, source="thumbs_down")
    assert Gap.objects.get().count == 2


def test_without_a_source_id_every_call_counts() -> None:
    record("How do I pay?", source_id=None)
    record("How do I pay?", source_id=None)
    assert Gap.objects.get().count == 2


# --- Grouping --------------------------------------------------------------------------------------------------------
def test_questions_that_ask_much_the_same_stand_together_and_others_do_not() -> None:
    first = gap_of("How can I reset my PIN?")
    again = gap_of("How do I reset the PIN")
    other = gap_of("Which currencies can I exchange?")
    assert again == first
    assert other != first
    again.refresh_from_db()
    assert (again.count, again.question, again.questions.count()) == (2, "How can I reset my PIN?", 2)
    assert again.last_seen_at > again.first_seen_at
    mean = embedder().embed(["How can I reset my PIN?", "How do I reset the PIN"]).sum(axis=0)
    assert np.allclose(again.vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_what_was_taken_out_does_not_keep_equal_questions_apart() -> None:
    gap = gap_of("How can I reset my PIN?")
    assert gap_of("bob@example.org, +49 171 1234567: how can I reset my PIN?") == gap


def test_a_question_joins_the_nearest_of_several() -> None:
    pin, card = gap_of("How can I reset my PIN?"), gap_of("How can I order a card?")
    assert pin != card
    assert gap_of("How can I order a new card?") == card


def test_languages_stand_apart() -> None:
    assert gap_of("PIN?", language="en") != gap_of("PIN?", language="de")


def test_the_threshold_is_a_setting(settings: Any) -> None:
    settings.FAQ_GAP_SIMILARITY = 0.999
    assert gap_of("How can I reset my PIN?") != gap_of("How do I reset the PIN")


@pytest.mark.parametrize("status", ["drafted", "dismissed"])
def test_a_gap_in_hand_or_dismissed_counts_on(status: str) -> None:
    gap = gap_of("How can I reset my PIN?")
    Gap.objects.update(status=status)
    assert gap_of("How can I reset my PIN?") == gap
    gap.refresh_from_db()
    assert (gap.count, gap.status) == (2, status)


def test_a_live_gap_comes_before_a_nearer_dismissed_one() -> None:
    dismissed = gap_of("How can I reset my PIN?")
    Gap.objects.update(status="dismissed")
    live = Gap.objects.create(
        question="x", language="en", model=dismissed.model, vector=embedder().embed(["How do I reset the PIN"])[0]
    )
    assert gap_of("How can I reset my PIN?") == live


def test_what_was_answered_and_is_asked_in_vain_again_is_a_new_gap() -> None:
    gap = gap_of("How can I reset my PIN?")
    Gap.objects.update(status="answered")
    assert gap_of("How can I reset my PIN?") != gap


# --- Vectors ---------------------------------------------------------------------------------------------------------
def test_the_callers_vector_is_taken_where_it_fits() -> None:
    near = embedder().embed(["How can I reset my PIN?"])[0]
    gap = gap_of("How can I reset my PIN?")
    assert gap_of("Quite another text", vector=near * 7) == gap


@pytest.mark.parametrize("spoil", [lambda v: v * np.nan, lambda v: v * 0, lambda v: v[:9], lambda v: v * np.inf])
def test_a_vector_that_cannot_be_compared_is_made_anew(spoil: Any) -> None:
    gap = gap_of("How can I reset my PIN?", vector=spoil(embedder().embed(["x"])[0]))
    assert np.allclose(gap.vector, embedder().embed(["How can I reset my PIN?"])[0], atol=1e-6)


@pytest.fixture
def model_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    make_index()

    def refuse(self: Any, texts: Any) -> Any:
        raise EmbeddingError("away")

    with monkeypatch.context() as patch:
        patch.setattr(embedding.WordllamaEmbedder, "embed", refuse)
        yield patch


def test_without_a_vector_equal_words_stand_together_and_later_get_one(model_away: pytest.MonkeyPatch) -> None:
    first, again, other = gap_of("Reset my PIN?"), gap_of("reset MY pin?"), gap_of("How can I pay?")
    assert first == again != other
    assert first.vector is None
    model_away.undo()
    assert gap_of("Reset my PIN?") == first
    assert gaps.refresh_gap_vectors() == 1
    assert gap_of("How could I pay?") == other


def test_after_a_change_of_the_model_gaps_are_made_comparable_again() -> None:
    gap = gap_of("How can I reset my PIN?")
    old = EmbeddingModel.objects.create(name="old/model", dimensions=3)
    Gap.objects.update(model=old, vector=[1, 0, 0])
    make_index()
    assert gap_of("How can I reset my PIN?") != gap, "vectors of two models are never compared"
    Gap.objects.exclude(pk=gap.pk).delete()
    assert gaps.refresh_gap_vectors() == 1
    assert gaps.refresh_gap_vectors() == 0
    gap.refresh_from_db()
    assert gap.model == KnowledgeState.objects.get().model
    assert gap_of("How can I reset my PIN?") == gap


# --- Thumbs-down -----------------------------------------------------------------------------------------------------
def test_a_thumbs_down_names_the_faq_that_answers_now() -> None:
    faq = make_faq("How can I reset my PIN?")
    make_faq("Which currencies can I exchange?")
    make_index()
    question = record("How can I reset my PIN?", source="thumbs_down")
    assert question is not None
    assert question.faq == faq
    unanswered = record("Does it rain in Lisbon tomorrow?", source="thumbs_down")
    assert unanswered is not None
    assert unanswered.faq is None


def test_an_faq_that_the_person_may_not_see_is_not_named() -> None:
    faq = make_faq("How can I reset my PIN?", visibility="staff")
    make_index()
    for person, found in ((None, None), (agree(make_user()), None), (agree(make_moderator()), faq)):
        question = record("How can I reset my PIN?", source="thumbs_down", person=person)
        assert question is not None
        assert question.faq == found


def test_the_faq_that_was_shown_is_kept_as_it_is() -> None:
    shown = make_faq("Something else?")
    make_faq("How can I reset my PIN?")
    make_index()
    question = record("How can I reset my PIN?", source="thumbs_down", faq=shown)
    assert question is not None
    assert question.faq == shown


# --- At once ---------------------------------------------------------------------------------------------------------
def at_once(*works: Any) -> list[Any]:
    """The results of ``works``, begun at the same moment in threads of their own."""
    start = Barrier(len(works))

    def run(work: Any) -> Any:
        try:
            start.wait(30)
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@pytest.mark.django_db(transaction=True)
def test_twenty_equal_questions_at_once_are_one_gap() -> None:
    make_index()  # else the first makes it, and the others come later
    embedder().embed(["loaded"])
    at_once(*[lambda: record("How can I reset my PIN?")] * 20)
    gap = Gap.objects.get()
    assert (gap.count, gap.questions.count()) == (20, 20)


@pytest.mark.django_db(transaction=True)
def test_one_reply_reported_twenty_times_at_once_counts_once() -> None:
    make_index()  # else the first makes it, and the others come later
    embedder().embed(["loaded"])
    source_id: UUID = uuid7()
    found = at_once(*[lambda: record("How can I reset my PIN?", source_id=source_id)] * 20)
    assert len({question.pk for question in found}) == 1
    assert Gap.objects.get().count == 1


@pytest.mark.django_db(transaction=True)
def test_questions_that_come_while_their_gap_is_dismissed_are_all_counted() -> None:
    gap = gap_of("How can I reset my PIN?")
    ask = [lambda: record("How can I reset my PIN?")] * 8
    at_once(lambda: gaps.dismiss_gap(gap=gap, actor=None, reason="not ours"), *ask)
    assert sum(Gap.objects.values_list("count", flat=True)) == GapQuestion.objects.count() == 9
    gap.refresh_from_db()
    assert gap.status == "dismissed"


# --- Settling --------------------------------------------------------------------------------------------------------
@pytest.fixture
def editor(db: None) -> User:
    return make_moderator()


def test_dismissing_needs_a_reason_and_is_recorded(editor: User) -> None:
    gap = gap_of("Will it rain?")
    for reason in ("", "  ", "\x00no\n"):
        with pytest.raises(ValidationError) as refusal:
            gaps.dismiss_gap(gap=gap, actor=editor, reason=reason)
        assert "reason" in refusal.value.message_dict
    dismissed = gaps.dismiss_gap(gap=gap, actor=editor, reason=" We sell\nno weather ")
    assert (dismissed.status, dismissed.reason) == ("dismissed", "We sell no weather")
    event = AuditEvent.objects.get(action="gap.dismissed")
    assert (event.actor.person, event.object_id, reason_of(event)) == (editor, str(gap.pk), "We sell no weather")
    with pytest.raises(ApplicationError) as refusal_again:
        gaps.dismiss_gap(gap=gap, actor=editor, reason="again")
    assert refusal_again.value.code == "already_dismissed"


def test_reopening_forgets_the_reason_and_the_draft(editor: User) -> None:
    gap = gap_of("Will it rain?")
    gaps.dismiss_gap(gap=gap, actor=editor, reason="no weather")
    Gap.objects.update(faq=make_faq())
    reopened = gaps.reopen_gap(gap=gap, actor=editor)
    assert (reopened.status, reopened.reason, reopened.faq) == ("open", "", None)
    gaps.reopen_gap(gap=gap, actor=editor)
    assert AuditEvent.objects.filter(action="gap.reopened").count() == 1


def test_what_is_gone_cannot_be_settled() -> None:
    gap = gap_of("Will it rain?")
    Gap.objects.all().delete()
    for settle in (
        lambda: gaps.dismiss_gap(gap=gap, actor=None, reason="no weather"),
        lambda: gaps.reopen_gap(gap=gap, actor=None),
    ):
        with pytest.raises(NotFound):
            settle()


def test_questions_go_with_their_person_and_stay_without_the_faq() -> None:
    person, faq = agree(make_user()), make_faq()
    gap_of("Will it rain?", person=person, faq=faq)
    services.delete_faq(faq=FAQ.objects.get(pk=faq.pk), actor=None)
    assert GapQuestion.objects.get().faq is None
    person.delete()
    assert not GapQuestion.objects.exists()
