"""The editors' further pages: versions, translations, preview, likenesses, ask it, files, categories, feedback."""

import json
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.tests.factories import make_admin, make_moderator
from faqs import services
from faqs.models import FAQ, Category
from faqs.tests.factories import make_category, make_faq, make_index
from faqs.tests.people import client_of, text_of
from faqs.translations import translations_of

pytestmark = pytest.mark.django_db
LIST = "/admin/faqs/faq/"
CATEGORIES = "/admin/faqs/category/"


@pytest.fixture
def moderator(db: None) -> User:
    return make_moderator(username="mo")


@pytest.fixture
def editor(moderator: User) -> Client:
    return client_of(moderator)


def url(faq: FAQ, page: str = "change") -> str:
    return reverse(f"admin:faqs_faq_{page}", args=[faq.pk])


# --- Versions -------------------------------------------------------------------------------------------------------
def test_versions_are_compared_and_an_earlier_one_comes_back(editor: Client, moderator: User) -> None:
    faq = make_faq("How?", "First line.\nSame.", phrasings=["old wording"])
    services.edit_faq(faq=faq, actor=moderator, note="Better", answer="Second line.\nSame.", phrasings=["new wording"])
    html = text_of(editor, url(faq, "versions"))
    assert "<del>First line.</del><ins>Second line.</ins>" in html.replace("\n", "")
    assert "<del>old wording</del>" in html
    assert "Better" in html
    backwards = text_of(editor, url(faq, "versions"), {"old": "2", "new": "1"})
    assert "<ins>First line.</ins>" in backwards
    answer = editor.post(url(faq, "restore"), {"number": "1"}, follow=True)
    assert "in force again" in answer.content.decode()
    faq.refresh_from_db()
    assert (faq.answer, faq.version) == ("First line.\nSame.", 3)


@pytest.mark.parametrize("number", ["", "99", "x", "-1", "٣", "9" * 30])
def test_a_version_that_is_none_is_absent(editor: Client, number: str) -> None:
    faq = make_faq()
    assert editor.post(url(faq, "restore"), {"number": number}).status_code == 404
    assert editor.get(url(faq, "versions"), {"old": number, "new": number}).status_code == 200


# --- Translations ---------------------------------------------------------------------------------------------------
def test_a_translation_is_looked_for_linked_and_unlinked(editor: Client) -> None:
    english = make_faq("How do I pay?")
    german = make_faq("Wie zahle ich?", language="de")
    make_faq("How else do I pay?")
    html = text_of(editor, url(english, "translations"), {"q": "zahle"})
    assert german.question in html
    assert "How else" not in text_of(editor, url(english, "translations"), {"q": "pay"}).partition("link-title")[2]
    editor.post(url(english, "link"), {"other": str(german.pk)})
    assert list(translations_of(english)) == [german]
    english.refresh_from_db()
    assert "Deutsch" in text_of(editor, url(english, "translations"))
    editor.post(url(english, "unlink"), {"other": str(german.pk)})
    assert not translations_of(FAQ.objects.get(pk=english.pk)).exists()


def test_two_of_one_language_are_not_linked_and_it_is_said_why(editor: Client) -> None:
    one, two = make_faq(), make_faq()
    answer = editor.post(url(one, "link"), {"other": str(two.pk)}, follow=True)
    assert "same language" in answer.content.decode()


@pytest.mark.parametrize("other", ["", "x", "00000000-0000-0000-0000-000000000000"])
def test_another_that_is_none_is_absent(editor: Client, other: str) -> None:
    faq = make_faq()
    assert editor.post(url(faq, "link"), {"other": other}).status_code == 404
    assert editor.post(url(faq, "unlink"), {"other": other}).status_code == 404


def test_only_members_of_the_group_are_unlinked_here(editor: Client) -> None:
    one, stranger = make_faq(), make_faq(language="de")
    assert editor.post(url(one, "unlink"), {"other": str(stranger.pk)}).status_code == 404


# --- While writing --------------------------------------------------------------------------------------------------
def test_the_preview_is_what_readers_will_see(editor: Client) -> None:
    sent = {"answer": "**bold** <script>alert(1)</script>\n\n[x](javascript:alert(1))"}
    html = editor.post(reverse("admin:faqs_faq_preview"), sent).content.decode()
    assert "<strong>bold</strong>" in html
    assert "<script" not in html
    assert 'href="javascript' not in html
    assert editor.get(reverse("admin:faqs_faq_preview")).status_code == 405
    assert editor.post(reverse("admin:faqs_faq_preview"), {"answer": "x" * 900_000}).status_code == 200


def likenesses(client: Client, question: str, faq: FAQ | None = None) -> list[str]:
    sent = {"question": question, "faq": str(faq.pk) if faq else ""}
    html = client.post(reverse("admin:faqs_faq_similar"), sent).content.decode()
    return re.findall(r'rel="noopener">([^<]*)</a>', html)


def test_faqs_that_ask_the_same_are_shown_published_or_draft_for_whomever(editor: Client) -> None:
    published = make_faq("How do I change my password?", phrasings=["I want to reset my password"])
    staff = make_faq("Where is the master key for the safe?", visibility="staff")
    draft = make_faq("Which browsers are supported?", published=False)
    make_index()
    assert likenesses(editor, "how can I change the password") == [published.question]
    assert likenesses(editor, "I want to reset my password") == [published.question]
    assert likenesses(editor, "where is the master key of the safe") == [staff.question]
    assert likenesses(editor, "what browsers are supported") == [draft.question]
    assert likenesses(editor, "how can I change the password", published) == []
    assert likenesses(editor, "cooking rice with saffron") == []
    assert likenesses(editor, "") == []


def test_the_very_same_question_is_called_so(editor: Client) -> None:
    make_faq("How do I change my password?")
    make_index()
    answer = editor.post(reverse("admin:faqs_faq_similar"), {"question": "how do I change my password"})
    assert "most likely the same" in answer.content.decode()


def test_without_vectors_drafts_that_share_words_are_shown(editor: Client) -> None:
    draft = make_faq("Which browsers are supported?", published=False)
    assert likenesses(editor, "supported browsers") == [draft.question]


# --- Ask it ---------------------------------------------------------------------------------------------------------
def ask(client: Client, **query: str) -> str:
    return text_of(client, reverse("admin:faqs_faq_ask"), query)


def test_ask_it_shows_what_is_retrieved_with_its_scores(editor: Client) -> None:
    make_faq("How do I change my password?", phrasings=["I forgot my login"])
    make_faq("Which browsers are supported?")
    make_index()
    html = ask(editor, q="I forgot my login")
    row = html.partition("<tbody>")[2].partition("</tr>")[0]
    assert "How do I change my password?" in row
    assert "by “I forgot my login”" in row
    assert len(re.findall(r"<td>[\d.,]+</td>", row)) == 5  # place, confidence, fused, meaning, words
    for word in ("Floor", "Outside the FAQ", "Above the floor", "meaning and words"):
        assert word in html
    assert "would say that it does not know" in ask(editor, q="cooking rice with saffron")


def test_ask_it_says_where_nothing_is_found(editor: Client) -> None:
    assert "Nothing is found" in ask(editor, q="anything")


def test_ask_it_answers_as_the_chosen_audience_language_and_category(editor: Client) -> None:
    inside = make_category("inside")
    below = make_category("below", parent=inside)
    make_faq("Where is the staff kitchen?", visibility="staff", category=below)
    make_faq("Where is the kitchen for users?", visibility="users")
    make_index()

    def found(**query: str) -> set[str]:
        html = ask(editor, q="where is the kitchen", **query).partition("<tbody>")[2]
        return set(re.findall(r'/change/">([^<]*)<', html))

    assert found() == set()
    assert found(audience="guests") == set()
    assert found(audience="users") == {"Where is the kitchen for users?"}
    assert len(found(audience="staff")) == 2
    assert found(audience="staff", category=str(inside.pk)) == {"Where is the staff kitchen?"}
    assert "English" not in found(language="de")


def test_ask_it_without_a_question_and_with_nonsense(editor: Client) -> None:
    assert "<tbody>" not in ask(editor)
    assert "<tbody>" not in ask(editor, q="")
    assert "A language code" in ask(editor, q="x", language="english!")
    assert ask(editor, q="x" * 2000)
    assert ask(editor, q="x", audience="everybody", category="x")


def test_a_script_gets_the_answer_alone(editor: Client) -> None:
    make_faq("How do I pay?")
    answer = editor.get(reverse("admin:faqs_faq_ask"), {"q": "pay"}, headers={"x-partial": "1"})
    assert "<html" not in answer.content.decode()
    assert "How do I pay?" in answer.content.decode()


# --- Files ----------------------------------------------------------------------------------------------------------
IMPORT = "/admin/faqs/faq/import/"


def upload(client: Client, text: str, name: str = "faqs.csv", **options: str) -> Any:
    file = SimpleUploadedFile(name, text.encode())
    return client.post(IMPORT, {"file": file, **options})


def token_in(answer: Any) -> str:
    match = re.search(r'name="token" value="([^"]+)"', answer.content.decode())
    return match[1] if match else ""


def test_an_import_is_looked_at_first_and_then_done(editor: Client, moderator: User) -> None:
    make_faq("Known?", "Old.")
    text = "question,answer,category\nNew?,Yes.,Fresh\nKnown?,Changed.,\n"
    answer = upload(editor, text, create_categories="on", publish="on")
    html = answer.content.decode()
    assert "This would happen" in html
    assert "Fresh" in html
    assert [FAQ.objects.count(), Category.objects.count()] == [1, 0]
    done = editor.post(IMPORT, {"token": token_in(answer)}, follow=True)
    assert "1 FAQ is new, 1 changed." in done.content.decode()
    new = FAQ.objects.get(question="New?")
    assert (new.status, new.category.name, new.versions.get().author) == ("published", "Fresh", moderator)
    assert FAQ.objects.get(question="Known?").answer == "Changed."
    again = editor.post(IMPORT, {"token": token_in(answer)}, follow=True)
    assert "not at hand any more" in again.content.decode()


def test_a_file_with_a_bad_row_says_so_row_by_row_and_offers_nothing(editor: Client) -> None:
    answer = upload(editor, "question,answer\nGood?,Yes.\nBad?,\n<b>Evil</b>?,\n")
    html = answer.content.decode()
    assert "Nothing was imported" in html
    assert html.count('class="faq-refused"') == 2
    assert "<b>Evil" not in html
    assert token_in(answer) == ""
    assert not FAQ.objects.exists()


@pytest.mark.parametrize("text", ["", "no,such,columns\n1,2,3\n", '{"faqs": 7}', "\x00\x01"])
def test_what_is_no_import_file_is_refused_in_words(editor: Client, text: str) -> None:
    answer = upload(editor, text)
    assert answer.status_code == 200
    assert 'class="faq-error"' in answer.content.decode()


def test_too_large_a_file_is_refused(editor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from faqs import admin_files

    monkeypatch.setattr(admin_files, "MAX_UPLOAD", 100)
    answer = upload(editor, "question,answer\n" + "x" * 200)
    assert "import_faqs" in answer.content.decode()


def test_a_file_waits_only_for_the_one_who_sent_it(editor: Client) -> None:
    token = token_in(upload(editor, "question,answer\nGood?,Yes.\n"))
    other = client_of(make_admin())
    assert "not at hand any more" in other.post(IMPORT, {"token": token}, follow=True).content.decode()
    assert not FAQ.objects.exists()


def test_what_became_impossible_meanwhile_imports_nothing(editor: Client) -> None:
    category = make_category("place", name="Place")
    answer = upload(editor, "question,answer,category\nGood?,Yes.,Place\n")
    category.delete()
    html = editor.post(IMPORT, {"token": token_in(answer)}).content.decode()
    assert 'class="faq-refused"' in html
    assert not FAQ.objects.exists()


def test_export_gives_back_what_import_takes(editor: Client) -> None:
    faq = make_faq("=SUM(A1)?", "Answer.", phrasings=["other"], tags=["t"])
    archived = make_faq("Archived?")
    services.archive_faqs(faqs=[archived], actor=None)
    answer = editor.get(f"{LIST}export/", {"format": "csv"})
    text = answer.content.decode()
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert re.fullmatch(r'attachment; filename="faqs-[\d-]+\.csv"', answer.headers["Content-Disposition"])
    assert ",=SUM" not in text
    assert "Archived?" in text
    again = upload(editor, text)
    assert "refused" not in again.content.decode().partition("<tbody>")[2]
    assert again.content.decode().count("<td>as it was</td>") == 2
    whole = json.loads(editor.get(f"{LIST}export/", {"format": "json"}).content)
    assert {each["question"] for each in whole["faqs"]} == {faq.question, archived.question}


def test_export_follows_the_lists_filters(editor: Client) -> None:
    make_faq("Deutsch?", language="de")
    make_faq("English?")
    text = editor.get(f"{LIST}export/", {"format": "csv", "language": "de"}).content.decode()
    assert ("Deutsch?" in text, "English?" in text) == (True, False)
    searched = editor.get(f"{LIST}export/", {"format": "csv", "q": "english"}).content.decode()
    assert ("Deutsch?" in searched, "English?" in searched) == (False, True)
    chosen = {"action": "export_chosen", "_selected_action": [str(FAQ.objects.get(language="de").pk)]}
    assert "English?" not in editor.post(LIST, chosen).content.decode()


# --- Categories -----------------------------------------------------------------------------------------------------
def category_form(**changes: Any) -> dict[str, Any]:
    return {"name": "Payments", "parent": "", "slug": "", "description": "", "position": "0"} | changes


def test_a_category_is_made_moved_and_renamed(editor: Client) -> None:
    answer = editor.post(f"{CATEGORIES}add/", category_form())
    assert answer.status_code == 302
    made = Category.objects.get()
    assert (made.slug, made.parent) == ("payments", None)
    top = make_category("top")
    editor.post(f"{CATEGORIES}{made.pk}/change/", category_form(name="Paying", parent=str(top.pk)))
    made.refresh_from_db()
    assert (made.name, made.parent, made.slug) == ("Paying", top, "payments")


def test_a_category_never_stands_below_itself(editor: Client) -> None:
    top = make_category("top", name="Top")
    below = make_category("below", parent=top)
    answer = editor.post(f"{CATEGORIES}{top.pk}/change/", category_form(name="Top", parent=str(below.pk)))
    assert answer.status_code == 200
    assert "cannot stand below itself" in str(answer.context["adminform"].form.errors["parent"])
    top.refresh_from_db()
    assert top.parent is None


def test_the_list_is_the_tree(editor: Client, django_assert_max_num_queries: Any) -> None:
    top = make_category("top", name="Top", position=2)
    make_category("low", name="Low", parent=make_category("middle", name="Middle", parent=top))
    make_category("first", name="First", position=1)
    with django_assert_max_num_queries(9):
        html = text_of(editor, CATEGORIES)
    assert re.findall(r"/change/\"[^>]*>\s*([^<]*?)\s*<", html) == ["First", "Top", "— Middle", "— — Low"]


def test_only_an_empty_category_is_deleted(editor: Client) -> None:
    full, empty = make_category("full"), make_category("empty")
    make_faq(category=full)
    assert editor.post(f"{CATEGORIES}{empty.pk}/delete/", {"post": "yes"}).status_code == 302
    editor.post(f"{CATEGORIES}{full.pk}/delete/", {"post": "yes"})
    assert list(Category.objects.all()) == [full]


def test_a_taken_slug_is_refused_on_the_form(editor: Client) -> None:
    make_category("taken")
    answer = editor.post(f"{CATEGORIES}add/", category_form(slug="taken"))
    assert answer.status_code == 200
    assert "slug" in answer.context["adminform"].form.errors


# --- Feedback -------------------------------------------------------------------------------------------------------
def test_what_readers_said_is_shown_without_who_said_it(editor: Client) -> None:
    reader = make_moderator(username="the-reader")
    faq = make_faq("How?")
    services.give_faq_feedback(faq=faq, user=reader, helpful=False, comment="Too <b>short</b>")
    html = text_of(editor, "/admin/faqs/faqfeedback/")
    assert "Too &lt;b&gt;short" in html
    assert "the-reader" not in html
    feedback = faq.feedback.get()
    address = f"/admin/faqs/faqfeedback/{feedback.pk}/change/"
    assert "the-reader" not in text_of(editor, address)
    assert editor.post(address, {"comment": "x"}).status_code == 403
    assert "👎 1" in text_of(editor, LIST)
