"""Import and export: row by row reports, all or nothing, and the same again after a round trip."""

import json
from uuid import uuid4

import pytest

from accounts.models import AuditEvent
from accounts.tests.factories import make_moderator
from chatbot_project.lib.ids import uuid7
from faqs import services
from faqs.models import FAQ, KnowledgeState
from faqs.phrasings import phrasings_of
from faqs.state import knowledge_state
from faqs.tests.factories import make_category, make_faq
from faqs.tests.transfer import HEADER, load, only_reason, outcomes, table
from faqs.transfer import export_faqs
from faqs.translations import link_translation

pytestmark = pytest.mark.django_db


# --- Rows -------------------------------------------------------------------------------------------------------------
def test_rows_become_drafts_with_phrasings_words_and_a_version() -> None:
    moderator = make_moderator()
    text = table(
        {"question": " How  do I pay? ", "answer": "By **card**.", "phrasings": "pay\nHow to pay", "tags": "a, b"}
    )
    report = load(text, actor=moderator)
    assert (report.applied, outcomes(report)) == (True, [(2, "created")])
    faq = FAQ.objects.get()
    assert (faq.question, faq.answer, faq.status, faq.tags) == ("How do I pay?", "By **card**.", "draft", ["a", "b"])
    assert phrasings_of(faq) == ["pay", "How to pay"]
    assert all(faq.phrasings.values_list("search", flat=True))
    assert "card" in faq.search
    version = faq.versions.get()
    assert (version.number, version.author) == (1, moderator)
    assert version.content["phrasings"] == ["pay", "How to pay"]
    event = AuditEvent.objects.get(action="faqs.imported")
    assert event.details == {"created": 1, "changed": 0, "unchanged": 0, "categories": 0}


def test_an_imported_faq_is_the_same_as_a_created_one() -> None:
    load(table({"question": "Pay?", "answer": "Yes.", "phrasings": "May I pay"}))
    imported = FAQ.objects.get()
    created = make_faq("Pay?", "Yes.", phrasings=["May I pay"], published=False)
    created.refresh_from_db()
    assert imported.search == created.search
    rows = [list(faq.phrasings.values_list("kind", "text", "text_hash", "search")) for faq in (imported, created)]
    assert rows[0] == rows[1]
    assert imported.versions.get().content == created.versions.get().content


def test_a_row_without_id_means_the_faq_that_asks_the_same_in_its_language() -> None:
    english = make_faq("Login?", "Top right.", phrasings=["sign in"])
    make_faq("Login?", "Oben rechts.", language="de")
    report = load(table({"question": "LOGIN?", "answer": "Top left.", "language": "en"}))
    assert outcomes(report) == [(2, "changed")]
    assert report.rows[0].fields == ("question", "answer")
    english.refresh_from_db()
    assert (english.answer, english.version, english.status) == ("Top left.", 2, "published")
    assert phrasings_of(english) == ["sign in"]
    assert FAQ.objects.get(language="de").answer == "Oben rechts."


def test_a_row_that_says_nothing_new_changes_nothing() -> None:
    faq = make_faq("Login?", "Top right.", phrasings=["sign in", "log in"])
    revision = knowledge_state().revision
    report = load(table({"question": "Login?", "answer": "Top right.", "phrasings": "log in\nsign in\n"}))
    assert outcomes(report) == [(2, "unchanged")]
    assert faq.versions.count() == 1
    assert knowledge_state().revision == revision
    assert not AuditEvent.objects.filter(action="faqs.imported").exists()


def test_several_faqs_that_ask_the_same_need_an_id() -> None:
    make_faq("Login?", "For guests.")
    staff = make_faq("Login?", "For staff.", visibility="staff")
    assert "give the id" in only_reason(table({"question": "Login?", "answer": "New."}))
    report = load(table({"id": str(staff.pk), "question": "Login?", "answer": "New."}))
    assert report.applied
    staff.refresh_from_db()
    assert staff.answer == "New."


def test_an_archived_faq_does_not_come_back_by_its_question() -> None:
    old = make_faq("Login?", "Old.")
    services.archive_faqs(faqs=[old], actor=None)
    load(table({"question": "Login?", "answer": "New."}), publish=True)
    old.refresh_from_db()
    assert (old.status, old.answer) == ("archived", "Old.")
    assert FAQ.objects.get(status="published").answer == "New."


def test_publish_is_for_rows_without_a_status() -> None:
    text = table(
        {"question": "One?", "answer": "1", "status": ""},
        {"question": "Two?", "answer": "2", "status": "draft"},
        {"question": "Three?", "answer": "3", "status": "archived"},
    )
    revision = knowledge_state().revision
    load(text, publish=True)
    found = dict(FAQ.objects.values_list("question", "status"))
    assert found == {"One?": "published", "Two?": "draft", "Three?": "archived"}
    assert FAQ.objects.get(question="One?").published_at is not None
    assert knowledge_state().revision == revision + 1


def test_importing_drafts_leaves_the_knowledge_as_it_is() -> None:
    revision = knowledge_state().revision
    load(HEADER + "One?,1\n")
    assert knowledge_state().revision == revision


def test_a_dry_run_reports_and_changes_nothing() -> None:
    faq = make_faq("Login?", "Old.")
    before = export_faqs(format="json"), KnowledgeState.objects.values().get(), AuditEvent.objects.count()
    text = table(
        {"question": "Login?", "answer": "New.", "category": "Account"},
        {"question": "New?", "answer": "", "category": ""},
        {"question": "Newer?", "answer": "Yes", "category": ""},
    )
    report = load(text, dry_run=True, create_categories=True, publish=True)
    assert outcomes(report) == [(2, "changed"), (3, "refused"), (4, "created")]
    assert (report.rows[0].faq, report.rows[0].fields) == (faq.pk, ("answer", "category"))
    assert report.rows[1].reason == "answer: An FAQ needs an answer."
    assert (report.applied, report.categories) == (False, ["Account"])
    assert before == (export_faqs(format="json"), KnowledgeState.objects.values().get(), AuditEvent.objects.count())


def test_one_bad_row_changes_nothing() -> None:
    faq = make_faq("Login?", "Old.")
    report = load(HEADER + "Login?,New.\nOne?,1\n???,2\n", create_categories=True)
    assert not report.applied
    assert report.counts == {"created": 1, "changed": 1, "unchanged": 0, "refused": 1}
    faq.refresh_from_db()
    assert (faq.answer, faq.version, FAQ.objects.count()) == ("Old.", 1, 1)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"question": ""}, "question: This needs at least one word."),
        ({"question": "\u200b\x00 ?!"}, "question: This needs at least one word."),
        ({"question": "x" * 501}, "question: At most 500 characters."),
        ({"answer": " \u200b\n"}, "answer: An FAQ needs an answer."),
        ({"answer": "x" * 20_001}, "answer: At most 20000 characters."),
        ({"id": "17"}, "id: “17” is no id."),
        ({"language": "English"}, "language: A language code such as en or pt-br."),
        ({"status": "live"}, "status: One of draft, published, archived."),
        ({"visibility": "me"}, "visibility: One of guests, users, staff."),
        ({"valid_from": "soon"}, "valid_from: “soon” is no date: write 2027-01-31, or 2027-01-31T18:00+01:00."),
        ({"valid_from": "2027-02-30"}, "valid_from: “2027-02-30” is no date"),
        ({"valid_from": "0001-01-01T00:00+14:00"}, "valid_from: This is no time that can be kept."),
        ({"valid_until": "9999-12-31"}, "valid_until: “9999-12-31” is no date"),
        (
            {"valid_from": "2027-02-02", "valid_until": "2027-02-01"},
            "valid_until: This must be later than the beginning.",
        ),
        ({"category": "nowhere"}, "category: There is no category “nowhere”."),
        ({"category": "a//b"}, "category: A name between two slashes is missing."),
        ({"category": "/".join("x" * 101)}, "category: At most 100 levels."),
        ({"phrasings": '["a", 1]'}, "phrasings: This begins as a JSON list and is not one of texts."),
        ({"phrasings": "[" * 100_000}, "phrasings: This begins as a JSON list and is not one of texts."),
        ({"phrasings": "ok\n???"}, "phrasings: This needs at least one word."),
        ({"phrasings": "\n".join(f"way {n}" for n in range(1001))}, "phrasings: At most 1000 wordings."),
        ({"tags": "x" * 41}, "tags: At most 40 characters in a tag."),
        ({"translation_of": "Which?"}, "translation_of: There is no such FAQ, or more than one."),
        ({"translation_of": str(uuid4())}, "translation_of: There is no such FAQ, or more than one."),
    ],
)
def test_a_row_is_refused_with_its_reason(cells: dict[str, str], reason: str) -> None:
    assert only_reason(table({"question": "One?", "answer": "1"} | cells)).startswith(reason)


def test_what_no_text_needs_is_taken_out() -> None:
    load(json.dumps([{"question": "A\u0000 \u202eb\ud7ff?", "answer": "x\u2066", "tags": ["t\u0007"]}]))
    faq = FAQ.objects.get()
    assert (faq.question, faq.answer, faq.tags) == ("A b\ud7ff?", "x", ["t"])


# --- Duplicates -------------------------------------------------------------------------------------------------------
def test_rows_that_ask_the_same_are_refused() -> None:
    report = load(HEADER + "One?,1\none?,2\n")
    assert outcomes(report) == [(2, "created"), (3, "refused")]
    assert report.rows[1].reason == "This asks the same as line 2."


def test_rows_about_one_faq_are_refused() -> None:
    pk = str(uuid7())
    reason = only_reason(
        table({"id": pk, "question": "One?", "answer": "1"}, {"id": pk, "question": "Two?", "answer": "2"})
    )
    assert reason == "This is the same FAQ as line 2."


def test_faqs_that_ask_the_same_of_other_readers_have_ids() -> None:
    first, second = str(uuid7()), str(uuid7())
    rows = [{"id": first, "question": "One?", "answer": "1"}, {"id": second, "question": "One?", "answer": "2"}]
    assert load(table(*rows)).applied
    assert FAQ.objects.count() == 2


# --- Categories -------------------------------------------------------------------------------------------------------
def test_a_path_names_a_category_by_slugs_or_names() -> None:
    billing = make_category("billing", name="Money matters")
    refunds = make_category("refunds", name="Refunds", parent=billing)
    text = table(
        {"question": "One?", "answer": "1", "category": "billing/refunds"},
        {"question": "Two?", "answer": "2", "category": "money MATTERS / refunds"},
        {"question": "Three?", "answer": "3", "category": ""},
    )
    assert load(text).applied
    found = dict(FAQ.objects.values_list("question", "category"))
    assert found == {"One?": refunds.pk, "Two?": refunds.pk, "Three?": None}


def test_an_empty_category_takes_the_faq_out_and_no_column_leaves_it() -> None:
    faq = make_faq("One?", "1", category=make_category())
    assert outcomes(load(HEADER + "One?,1\n")) == [(2, "unchanged")]
    assert load(table({"question": "One?", "answer": "1", "category": ""})).rows[0].fields == ("category",)
    faq.refresh_from_db()
    assert faq.category is None


def test_categories_are_made_where_asked_for() -> None:
    make_category("other")
    text = table(
        {"question": "One?", "answer": "1", "category": "Müller & Söhne/Other"},
        {"question": "Two?", "answer": "2", "category": "müller & söhne/other"},
    )
    assert len(load(text).refused) == 2
    report = load(text, create_categories=True)
    assert report.categories == ["Müller & Söhne", "Müller & Söhne/Other"]
    child = FAQ.objects.get(question="Two?").category
    assert child is not None
    assert (child.name, child.slug, child.parent and child.parent.slug) == ("Other", "other-2", "muller-sohne")


def test_names_that_several_categories_bear_need_a_slug() -> None:
    make_category("one", name="Same")
    make_category("two", name="Same")
    assert "give the slug" in only_reason(table({"question": "One?", "answer": "1", "category": "same"}))


# --- Translations -----------------------------------------------------------------------------------------------------
def test_rows_are_linked_as_translations_by_question_or_id() -> None:
    stored = make_faq("Wer?", "Wir.", language="de")
    text = table(
        {"question": "Who?", "answer": "We.", "language": "en", "translation_of": str(stored.pk)},
        {"question": "Qui ?", "answer": "Nous.", "language": "fr", "translation_of": "who?"},
    )
    assert load(text).applied
    assert FAQ.objects.values("translation_group").distinct().count() == 1
    assert outcomes(load(text)) == [(2, "unchanged"), (3, "unchanged")]


def test_a_second_translation_in_a_language_is_refused() -> None:
    stored = make_faq("Wer?", "Wir.", language="de")
    text = table({"question": "Wer da?", "answer": "Wir.", "language": "de", "translation_of": str(stored.pk)})
    assert only_reason(text) == "Another translation of this FAQ already has this language."


def test_groups_that_cannot_be_one_are_refused() -> None:
    def pair(*words: str) -> list[FAQ]:
        made = [make_faq(w, w, language=lang) for w, lang in zip(words, ("en", "de"), strict=True)]
        link_translation(faq=made[0], other=made[1], actor=None)
        return made

    (one, _), (two, _) = pair("who", "wer"), pair("what", "was")
    french = table({"question": "qui", "answer": "x", "language": "fr", "translation_of": str(one.pk)})
    assert load(french).applied
    text = table(
        {"id": str(two.pk), "question": "what", "answer": "what", "language": "nl", "translation_of": str(one.pk)}
    )
    assert "language" in only_reason(text)


def test_two_translations_may_swap_their_languages() -> None:
    one, two = make_faq("Who?", "We.", language="en"), make_faq("Wer?", "Wir.", language="de")
    link_translation(faq=one, other=two, actor=None)
    text = table(
        {"id": str(one.pk), "question": "Wer?", "answer": "Wir.", "language": "de"},
        {"id": str(two.pk), "question": "Who?", "answer": "We.", "language": "en"},
    )
    assert load(text).applied
    one.refresh_from_db()
    assert (one.language, one.question) == ("de", "Wer?")
    assert FAQ.objects.values("translation_group").distinct().count() == 1


# --- Publishing -------------------------------------------------------------------------------------------------------
def test_nothing_is_published_for_the_past() -> None:
    row = {"question": "One?", "answer": "1", "valid_until": "2020-01-01"}
    assert only_reason(table(row), publish=True) == "valid_until: Its time is already over."
    make_faq("One?", "1", published=False)
    assert only_reason(table(row | {"status": "published"})) == "valid_until: Its time is already over."


def test_a_date_alone_is_within_the_time() -> None:
    row = {"question": "One?", "answer": "1", "valid_from": "2027-01-31", "valid_until": "2027-01-31"}
    assert load(table(row)).applied
    faq = FAQ.objects.get()
    assert faq.valid_from is not None
    assert faq.valid_until is not None
    assert (faq.valid_from.isoformat(), faq.valid_until.isoformat()) == (
        "2027-01-31T00:00:00+00:00", "2027-02-01T00:00:00+00:00",
    )  # fmt: skip
