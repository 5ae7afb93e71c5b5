"""Creating, editing, publishing and archiving FAQs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.tests.factories import make_moderator
from chatbot_project.lib.errors import ApplicationError, NotFound
from faqs import services
from faqs.content import CONTENT_FIELDS
from faqs.models import FAQ, Embedding, EmbeddingModel, FAQVersion, KnowledgeState, Phrasing
from faqs.phrasings import phrasings_of
from faqs.signals import knowledge_changed
from faqs.state import bump_revision, knowledge_state
from faqs.tests.factories import make_category, make_faq
from faqs.texts import text_hash
from faqs.translations import link_translation

pytestmark = pytest.mark.django_db

DAY = datetime(2027, 1, 2, tzinfo=UTC)


def revision() -> int:
    return knowledge_state().revision


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each of the calls returns or raises, all begun in the same moment, each on a connection of its own."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            barrier.wait(timeout=10)
            return call()
        except ApplicationError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


# --- Creating ---------------------------------------------------------------------------------------------------------
def test_a_new_faq_is_a_draft_with_its_first_version() -> None:
    moderator = make_moderator()
    faq = services.create_faq(
        actor=moderator, question=" How  do I\npay? ", answer="\n\n    code\r\nEnd \n",
        phrasings=["Pay", "Pay ", "How do I pay?"], tags=["a", " a "], language="EN", owner=moderator,
    )  # fmt: skip
    faq.refresh_from_db()
    assert (faq.question, faq.answer, faq.language, faq.tags) == ("How do I pay?", "    code\nEnd", "en", ["a"])
    assert (faq.status, faq.version, faq.owner, faq.published_at) == ("draft", 1, moderator, None)
    assert not faq.is_in_force()
    rows = faq.phrasings.values_list("kind", "text", "text_hash", "search")
    assert set(rows) == {
        ("question", "How do I pay?", text_hash("How do I pay?"), "'pay':4"),
        ("phrasing", "Pay", text_hash("Pay"), "'pay':1"),
    }
    version = faq.versions.get()
    assert (version.number, version.author) == (1, moderator)
    assert set(version.content) == {*CONTENT_FIELDS, "phrasings"}
    assert AuditEvent.objects.get(object_id=str(faq.pk)).action == "faq.created"


def test_words_are_indexed_in_the_language_of_the_faq() -> None:
    faq = make_faq("Wo finde ich die Rechnungen?", "In den **Häusern**.", language="de", tags=["Konten"])
    assert "'rechnung':" in faq.search
    assert "'haus':" in faq.search
    assert "'kont':" in faq.search
    faq = services.edit_faq(faq=faq, actor=None, language="en")
    faq.refresh_from_db()
    assert "'rechnungen':" in faq.search
    assert "'rechnungen':" in (faq.phrasings.get().search or "")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"question": "\u200b ?"}, {"question"}),
        ({"question": "x" * 501, "answer": " \u2060"}, {"question", "answer"}),
        ({"answer": "x" * 20_001}, {"answer"}),
        ({"language": "english"}, {"language"}),
        ({"tags": ["x"] * 2 + [str(n) for n in range(21)]}, {"tags"}),
        ({"visibility": "nobody"}, {"visibility"}),
        ({"phrasings": ["ok", "!?"]}, {"phrasings"}),
        ({"phrasings": ["x" * 501]}, {"phrasings"}),
        (
            {"valid_from": datetime(2027, 1, 2, tzinfo=UTC), "valid_until": datetime(2027, 1, 2, tzinfo=UTC)},
            {"valid_until"},
        ),
    ],
)
def test_invalid_content_is_refused_by_field(fields: dict[str, Any], wrong: set[str]) -> None:
    with pytest.raises(ValidationError) as refusal:
        services.create_faq(**({"actor": None, "question": "Why?", "answer": "So."} | fields))
    assert set(refusal.value.message_dict) == wrong
    assert not FAQ.objects.exists()


def test_a_category_that_is_gone_is_refused() -> None:
    category = make_category()
    type(category).objects.all().delete()
    with pytest.raises(ValidationError) as refusal:
        make_faq(category=category)
    assert set(refusal.value.message_dict) == {"category"}


# --- Editing ----------------------------------------------------------------------------------------------------------
def test_a_change_is_a_new_version_and_no_change_is_none() -> None:
    moderator = make_moderator()
    faq = make_faq("Why?", "So.", phrasings=["What for"])
    before = revision()
    same = services.edit_faq(faq=faq, actor=moderator, question=" Why? ", phrasings=["What for", "what for"][:1])
    assert (same.version, faq.versions.count(), revision()) == (1, 1, before)
    edited = services.edit_faq(faq=faq, actor=moderator, answer="Because.", note="Clearer", expected_version=1)
    assert (edited.version, edited.answer, revision()) == (2, "Because.", before + 1)
    newest = faq.versions.first()
    assert newest is not None
    assert (newest.number, newest.author, newest.note, newest.content["answer"]) == (
        2,
        moderator,
        "Clearer",
        "Because.",
    )
    assert phrasings_of(edited) == ["What for"]
    event = AuditEvent.objects.get(action="faq.edited")
    assert event.details == {"number": 2, "fields": ["answer"]}


def test_the_owner_is_not_content() -> None:
    moderator, faq = make_moderator(), make_faq()
    assert services.edit_faq(faq=faq, actor=moderator, owner=moderator).version == 1
    faq.refresh_from_db()
    assert faq.owner == moderator


def test_editing_a_draft_leaves_the_knowledge_as_it_is() -> None:
    faq, before = make_faq(published=False), revision()
    services.edit_faq(faq=faq, actor=None, answer="Else.")
    assert revision() == before


def test_phrasings_that_stay_keep_their_rows_and_vectors() -> None:
    faq = make_faq("Why?", phrasings=["What for", "How come"])
    model = EmbeddingModel.objects.create(name="a/b", dimensions=2)
    for row in faq.phrasings.all():
        Embedding.objects.create(phrasing=row, model=model, text_hash=row.text_hash, vector=[1, 0])
    kept = set(faq.phrasings.exclude(text="How come").values_list("pk", flat=True))
    # The question and a phrasing change places.
    services.edit_faq(faq=faq, actor=None, question="What for", phrasings=["Why?", "New"])
    assert dict(faq.phrasings.values_list("text", "kind")) == {
        "What for": "question",
        "Why?": "phrasing",
        "New": "phrasing",
    }
    assert set(Embedding.objects.values_list("phrasing", flat=True)) == kept
    assert phrasings_of(faq) == ["Why?", "New"]


def test_a_new_question_replaces_the_old_one() -> None:
    faq = make_faq("Why?", phrasings=["What for"])
    services.edit_faq(faq=faq, actor=None, question="How come?")
    assert dict(faq.phrasings.values_list("text", "kind")) == {"How come?": "question", "What for": "phrasing"}


def test_an_edit_of_an_old_version_is_refused() -> None:
    faq = make_faq()
    services.edit_faq(faq=faq, actor=None, answer="One.", expected_version=1)
    with pytest.raises(ApplicationError) as refusal:
        services.edit_faq(faq=faq, actor=None, answer="Two.", expected_version=1)
    assert (refusal.value.code, refusal.value.status) == ("edit_conflict", 409)
    faq.refresh_from_db()
    assert faq.answer == "One."


@pytest.mark.django_db(transaction=True)
def test_of_two_edits_at_once_one_is_told_of_the_other() -> None:
    faq = make_faq()

    def edit(answer: str) -> FAQ:
        return services.edit_faq(faq=faq, actor=None, answer=answer, expected_version=1)

    results = at_once(lambda: edit("One."), lambda: edit("Two."))
    (refused,) = [each for each in results if isinstance(each, ApplicationError)]
    (done,) = [each for each in results if isinstance(each, FAQ)]
    assert refused.code == "edit_conflict"
    faq.refresh_from_db()
    assert (faq.version, faq.answer) == (2, done.answer)
    assert list(faq.versions.values_list("number", flat=True)) == [2, 1]


def test_an_unknown_field_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="status"):
        services.edit_faq(faq=make_faq(), actor=None, status="published")


# --- Publishing and archiving -----------------------------------------------------------------------------------------
def test_publishing_is_recorded_and_raises_the_revision_once() -> None:
    moderator = make_moderator()
    drafts = [make_faq(published=False, drafted_by="openai/gpt") for _ in range(3)]
    before = revision()
    assert set(services.publish_faqs(faqs=drafts, actor=moderator)) == set(drafts)
    assert revision() == before + 1
    assert services.publish_faqs(faqs=drafts, actor=moderator) == []
    assert revision() == before + 1
    for faq in FAQ.objects.all():
        assert faq.is_in_force()
        assert (faq.drafted_by, faq.published_at is None) == ("", False)
    assert AuditEvent.objects.filter(action="faq.published", actor__person=moderator).count() == 3


@pytest.mark.parametrize("bad", ["archived", "past", "empty"])
def test_publishing_many_is_all_or_nothing(bad: str) -> None:
    good, other = make_faq(published=False), make_faq("Bad?", published=False)
    if bad == "archived":
        services.archive_faqs(faqs=[other], actor=None)
    elif bad == "past":
        services.edit_faq(faq=other, actor=None, valid_until=timezone.now() - timedelta(seconds=1))
    else:
        FAQ.objects.filter(pk=other.pk).update(answer=" ")
    before = revision()
    with pytest.raises(ApplicationError, match="Bad") as refusal:
        services.publish_faqs(faqs=[good, other], actor=None)
    assert (refusal.value.code, refusal.value.status) == ("not_publishable", 409)
    assert not FAQ.objects.filter(status="published").exists()
    assert revision() == before


@pytest.mark.django_db(transaction=True)
def test_two_who_publish_the_same_at_once_do_it_once() -> None:
    drafts = [make_faq(published=False) for _ in range(20)]
    before = revision()
    results = at_once(
        lambda: services.publish_faqs(faqs=drafts, actor=None),
        lambda: services.publish_faqs(faqs=reversed(drafts), actor=None),
    )
    assert sorted(map(len, results)) == [0, 20]
    assert revision() == before + 1
    assert AuditEvent.objects.filter(action="faq.published").count() == 20


def test_archiving_and_back() -> None:
    faq, draft = make_faq(), make_faq(published=False)
    before = revision()
    services.archive_faqs(faqs=[draft], actor=None)
    assert revision() == before
    services.archive_faqs(faqs=[faq, draft], actor=None)
    assert revision() == before + 1
    assert not FAQ.objects.in_force().exists()
    assert services.unarchive_faq(faq=faq, actor=None).status == "draft"
    assert revision() == before + 1
    actions = AuditEvent.objects.filter(object_id=str(faq.pk)).values_list("action", flat=True)
    assert list(actions) == ["faq.unarchived", "faq.archived", "faq.published", "faq.created"]


def test_an_archived_translation_cannot_come_back_beside_its_successor() -> None:
    english, old, new = make_faq(), make_faq(language="de"), make_faq(language="de")
    link_translation(faq=english, other=old, actor=None)
    services.archive_faqs(faqs=[old], actor=None)
    link_translation(faq=english, other=new, actor=None)
    with pytest.raises(ApplicationError) as refusal:
        services.unarchive_faq(faq=old, actor=None)
    assert refusal.value.code == "translation_exists"
    old.refresh_from_db()
    assert old.status == "archived"


def test_deleting_takes_everything_with_it() -> None:
    faq, before = make_faq(phrasings=["a"]), revision()
    services.delete_faq(faq=faq, actor=None)
    assert not FAQVersion.objects.exists()
    assert not Phrasing.objects.exists()
    assert revision() == before + 1
    with pytest.raises(NotFound):
        services.edit_faq(faq=faq, actor=None, answer="x")


# --- The state --------------------------------------------------------------------------------------------------------
def test_the_state_is_made_where_there_is_none() -> None:
    KnowledgeState.objects.all().delete()
    assert knowledge_state().revision == 1
    KnowledgeState.objects.all().delete()
    assert bump_revision() == 2
    assert (bump_revision(), knowledge_state().revision) == (3, 3)


def test_a_change_is_told_on_commit_and_a_broken_receiver_harms_nobody(
    django_capture_on_commit_callbacks: Any, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []

    def breaks(**kwargs: Any) -> None:
        raise RuntimeError

    def listens(*, revision: int, **kwargs: Any) -> None:
        told.append(revision)

    faq = make_faq(published=False)
    knowledge_changed.connect(breaks)
    knowledge_changed.connect(listens)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            services.publish_faqs(faqs=[faq], actor=None)
            assert told == []
    finally:
        knowledge_changed.disconnect(breaks)
        knowledge_changed.disconnect(listens)
    assert told == [revision()]
    assert "breaks" in caplog.text
