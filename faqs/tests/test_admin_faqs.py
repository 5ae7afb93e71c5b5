"""FAQs in the admin: who may, the list, the form, many at once."""

import re
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import roles
from accounts.models import AuditEvent, User
from accounts.tests.factories import make_admin, make_guest, make_moderator, make_user
from faqs import services
from faqs.models import FAQ, Phrasing
from faqs.phrasings import phrasings_of
from faqs.tests.factories import make_category, make_faq
from faqs.tests.people import client_of, text_of
from faqs.translations import link_translation

pytestmark = pytest.mark.django_db
LIST, ADD = "/admin/faqs/faq/", "/admin/faqs/faq/add/"
EVIL = '<script>alert(1)</script><b x-init="alert(2)">'
FAQ_PAGES = ["change", "versions", "translations"]
FAQ_BUTTONS = ["restore", "link", "unlink", "publish", "archive", "unarchive"]


@pytest.fixture
def moderator(db: None) -> User:
    return make_moderator(username="mo")


@pytest.fixture
def editor(moderator: User) -> Client:
    return client_of(moderator)


def url(faq: FAQ, page: str = "change") -> str:
    return reverse(f"admin:faqs_faq_{page}", args=[faq.pk])


def form(faq: FAQ | None = None, **changes: Any) -> dict[str, Any]:
    """The form as the page sends it."""
    fields: dict[str, Any] = {
        "question": "How do I pay?", "answer": "By **card**.", "phrasings": "can I pay\r\n\r\npaying", "category": "",
        "language": "en", "tags": "money, cards", "visibility": "guests", "owner": "", "note": "",
        "valid_from_0": "", "valid_from_1": "", "valid_until_0": "", "valid_until_1": "",
        "expected_version": faq.version if faq else "",
    }  # fmt: skip
    return fields | changes


def questions(html: str) -> list[str]:
    return re.findall(r'class="faq-cell">([^<]*)<', html)


# --- Who may --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("make", [make_user, make_guest, lambda: None], ids=["user", "guest", "anonymous"])
def test_outsiders_get_nowhere(make: Any) -> None:
    faq = make_faq("Hidden from outsiders?")
    client = client_of(make())
    general = [reverse(f"admin:faqs_faq_{name}") for name in ("ask", "preview", "similar", "import", "export")]
    for address in (LIST, ADD, *general, *(url(faq, page) for page in (*FAQ_PAGES, *FAQ_BUTTONS, "delete"))):
        for answer in (client.get(address), client.post(address, form())):
            assert answer.status_code in (302, 403, 405), address
            assert b"Hidden from outsiders" not in answer.content
    faq.refresh_from_db()
    assert (faq.status, FAQ.objects.count()) == ("published", 1)


def test_moderators_may_do_all_but_delete(editor: Client) -> None:
    faq = make_faq()
    for address in (LIST, ADD, *(url(faq, page) for page in FAQ_PAGES), reverse("admin:faqs_faq_import")):
        assert editor.get(address).status_code == 200, address
    assert editor.post(url(faq, "delete"), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in text_of(editor, LIST)
    assert FAQ.objects.exists()


def test_who_may_only_look_presses_nothing(editor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    faq = make_faq("Look at me?", "Only look.", phrasings=["<b>look</b>"])
    monkeypatch.setitem(roles.PERMISSIONS, roles.Role.MODERATOR, frozenset({"faqs.view_faq"}))
    for address in (LIST, *(url(faq, page) for page in FAQ_PAGES), reverse("admin:faqs_faq_ask"), f"{LIST}export/"):
        assert editor.get(address).status_code == 200, address
    assert "Only look." in text_of(editor, url(faq))
    assert "&lt;b&gt;look" in text_of(editor, url(faq))
    for page in FAQ_BUTTONS:
        assert editor.post(url(faq, page), {"number": "1", "other": str(faq.pk)}).status_code == 403, page
    for name in ("preview", "similar", "import"):
        assert editor.post(reverse(f"admin:faqs_faq_{name}"), {"answer": "x"}).status_code == 403, name
    assert editor.post(url(faq), form(faq)).status_code == 403
    assert editor.get(ADD).status_code == 403
    assert "publish_chosen" not in text_of(editor, LIST)


def test_an_admin_deletes_for_good_and_it_is_recorded() -> None:
    one, two, kept = make_faq(), make_faq(), make_faq()
    client = client_of(make_admin())
    assert client.post(url(one, "delete"), {"post": "yes"}).status_code == 302
    action = {"action": "delete_selected", "_selected_action": [str(two.pk)], "post": "yes"}
    assert client.post(LIST, action).status_code == 302
    assert list(FAQ.objects.all()) == [kept]
    assert AuditEvent.objects.filter(action="faq.deleted").count() == 2


@pytest.mark.parametrize("page", FAQ_BUTTONS)
def test_a_link_cannot_press_a_button(editor: Client, moderator: User, page: str) -> None:
    faq = make_faq()
    assert editor.get(url(faq, page)).status_code in (404, 405)
    strict = client_of(moderator, enforce_csrf_checks=True)
    assert strict.post(url(faq, page), {"number": 1, "other": str(faq.pk)}).status_code == 403
    faq.refresh_from_db()
    assert faq.status == "published"


@pytest.mark.parametrize("page", [*FAQ_PAGES, *FAQ_BUTTONS])
def test_an_absent_faq_is_absent(editor: Client, page: str) -> None:
    gone = make_faq()
    address = url(gone, page)
    services.delete_faq(faq=gone, actor=None)
    answer = editor.get(address) if page in FAQ_PAGES else editor.post(address)
    assert answer.status_code == (302 if page == "change" else 404)


# --- The list -------------------------------------------------------------------------------------------------------
def test_the_list_is_read_in_few_queries(editor: Client, moderator: User, django_assert_max_num_queries: Any) -> None:
    for number in range(40):
        make_faq(f"Number {number}?", category=make_category(), owner=moderator, tags=[f"t{number}"], phrasings=["x"])
    editor.get(LIST)
    with django_assert_max_num_queries(14):
        html = text_of(editor, LIST)
    assert len(questions(html)) == 40


def test_the_status_says_what_is_published_and_not_in_force(editor: Client) -> None:
    make_faq("Now?")
    assert "valid" not in states(editor)
    over = make_faq("Over?")
    FAQ.objects.filter(pk=over.pk).update(valid_until=timezone.now() - timedelta(minutes=1))
    make_faq("Later?", valid_from=timezone.now() + timedelta(days=1))
    make_faq("Later, and a draft?", valid_from=timezone.now() + timedelta(days=1), published=False)
    assert re.findall("not valid yet|no longer valid|published|draft", states(editor).lower()) == [
        "draft", "not valid yet", "no longer valid", "published"
    ]  # fmt: skip


def states(editor: Client) -> str:
    """The column of the status, without its markup."""
    cells = re.findall(r'<td class="field-state.*?</td>', text_of(editor, LIST), re.S)
    return " ".join(re.sub("<[^>]*>", "", cell).strip() for cell in cells)


def test_archived_ones_stand_aside(editor: Client) -> None:
    archived = make_faq("Archived?")
    services.archive_faqs(faqs=[archived], actor=None)
    make_faq("Draft?", published=False)
    make_faq("Published?")
    make_faq("By a model?", published=False, drafted_by="fake/x")
    assert questions(text_of(editor, LIST)) == ["By a model?", "Published?", "Draft?"]
    shown = {value: questions(text_of(editor, LIST, {"status": value})) for value in ("archived", "draft", "drafted")}
    assert shown == {"archived": ["Archived?"], "draft": ["By a model?", "Draft?"], "drafted": ["By a model?"]}
    assert len(questions(text_of(editor, LIST, {"status": "any"}))) == 4
    assert "draft by a model" in text_of(editor, LIST)


def test_the_list_is_narrowed(editor: Client, moderator: User) -> None:
    parent = make_category("parent")
    child = make_category("child", parent=parent)
    now = timezone.now()
    make_faq("In the child?", category=child, tags=["a", "b"], owner=moderator)
    make_faq("Auf Deutsch?", language="de", category=parent)
    make_faq("Later?", valid_from=now + timedelta(days=1))
    over = make_faq("Over?")
    FAQ.objects.filter(pk=over.pk).update(valid_until=now)
    by: dict[str, tuple[dict[str, Any], set[str]]] = {
        "category": ({"category": str(parent.pk)}, {"In the child?", "Auf Deutsch?"}),
        "no category": ({"category": "none"}, {"Later?", "Over?"}),
        "unknown category": ({"category": "x"}, set()),
        "language": ({"language": "de"}, {"Auf Deutsch?"}),
        "tag": ({"tag": "b"}, {"In the child?"}),
        "owner": ({"owner__id__exact": str(moderator.pk)}, {"In the child?"}),
        "later": ({"valid": "later"}, {"Later?"}),
        "over": ({"valid": "over"}, {"Over?"}),
        "now": ({"valid": "now"}, {"In the child?", "Auf Deutsch?"}),
    }
    for name, (query, expected) in by.items():
        assert set(questions(text_of(editor, LIST, query))) == expected, name


def test_the_list_is_searched_by_words_everywhere_and_by_id(editor: Client) -> None:
    faq = make_faq("How do I pay?", "By invoice.", phrasings=["settle the bill"], tags=["money"])
    make_faq("Something else?")
    for words in ("pay", "paying", "invo", "settle", "money", str(faq.pk)):
        assert questions(text_of(editor, LIST, {"q": words})) == ["How do I pay?"], words
    for words in ("nowhere", "' OR 1=1", "pay nowhere"):
        assert questions(text_of(editor, LIST, {"q": words})) == [], words
    assert len(questions(text_of(editor, LIST, {"q": "\x00 !("}))) == 2


def test_what_is_written_is_inert_in_the_admin(editor: Client) -> None:
    category = make_category("evil", name=f"C {EVIL}")
    faq = make_faq(f"Q {EVIL}", EVIL, category=category, tags=["<b>t"], phrasings=[f"P {EVIL}"])
    services.edit_faq(faq=faq, actor=None, answer=f"Other {EVIL}", note=EVIL)
    pages = [LIST, *(url(faq, page) for page in FAQ_PAGES), "/admin/faqs/category/", f"{LIST}ask/?q={EVIL}"]
    for address in pages:
        html = text_of(editor, address)
        assert "<script>alert" not in html, address
        assert "<b x-init" not in html, address
        assert "<b>t" not in html, address


# --- The form -------------------------------------------------------------------------------------------------------
def test_adding_makes_a_draft_with_its_wordings(editor: Client, moderator: User) -> None:
    category = make_category()
    answer = editor.post(ADD, form(category=str(category.pk), owner=str(moderator.pk), note="First"))
    assert answer.status_code == 302, answer.context["errors"]
    faq = FAQ.objects.get()
    assert (faq.question, faq.status, faq.category, faq.owner) == ("How do I pay?", "draft", category, moderator)
    assert (faq.tags, phrasings_of(faq)) == (["money", "cards"], ["can I pay", "paying"])
    version = faq.versions.get()
    assert (version.author, version.note) == (moderator, "First")


def test_save_and_publish_does_both(editor: Client) -> None:
    editor.post(ADD, form(faqs_faq_save_and_publish="1"))
    faq = FAQ.objects.get()
    assert faq.status == "published"
    editor.post(url(faq), form(faq, answer="Better.", faqs_faq_save_and_publish="1"))
    faq.refresh_from_db()
    assert (faq.answer, faq.status, faq.version) == ("Better.", "published", 2)


def test_changing_makes_a_version_and_an_unchanged_form_none(editor: Client) -> None:
    faq = make_faq("How do I pay?", "By **card**.", phrasings=["can I pay", "paying"], tags=["money", "cards"])
    html = text_of(editor, url(faq))
    assert "can I pay\npaying" in html
    assert 'value="money, cards"' in html
    assert editor.post(url(faq), form(faq)).status_code == 302
    faq.refresh_from_db()
    assert faq.version == 1
    editor.post(url(faq), form(faq, phrasings="only this"))
    faq.refresh_from_db()
    assert (faq.version, phrasings_of(faq)) == (2, ["only this"])
    assert Phrasing.objects.filter(faq=faq, kind="question").get().text == "How do I pay?"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("question", ""), ("question", "x" * 501), ("answer", " "), ("language", "english!"), ("tags", "x" * 41),
        ("phrasings", "y" * 501), ("phrasings", "???"), ("visibility", "nobody"), ("category", "x"),
    ],
)  # fmt: skip
def test_what_cannot_be_stands_beside_its_field_and_nothing_is_lost(editor: Client, field: str, value: str) -> None:
    answer = editor.post(ADD, form(answer="Kept answer.") | {field: value})
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors[field]
    assert field == "answer" or "Kept answer." in answer.content.decode()
    assert not FAQ.objects.exists()


def test_a_period_ends_after_it_begins(editor: Client) -> None:
    dates = {
        "valid_from_0": "2030-01-02",
        "valid_from_1": "10:00",
        "valid_until_0": "2030-01-01",
        "valid_until_1": "10:00",
    }
    answer = editor.post(ADD, form(**dates))
    assert "later than the beginning" in str(answer.context["adminform"].form.errors["valid_until"])


def test_who_saves_second_is_told_and_may_then_save(editor: Client, moderator: User) -> None:
    faq = make_faq("How do I pay?", "By card.")
    other = make_moderator(username="ada")
    services.edit_faq(faq=faq, actor=other, answer="By cheque.")
    answer = editor.post(url(faq), form(faq, answer="My long answer."))
    html = answer.content.decode()
    assert answer.status_code == 200
    assert "ada has changed this FAQ since you opened it" in html
    assert f"{url(faq, 'versions')}?old=1&amp;new=2" in html
    assert "My long answer." in html
    faq.refresh_from_db()
    assert (faq.answer, faq.version) == ("By cheque.", 2)
    sent = re.search(r'name="expected_version" value="(\d+)"', html)
    assert sent is not None
    editor.post(url(faq), form(answer="My long answer.") | {"expected_version": sent[1]})
    faq.refresh_from_db()
    assert (faq.answer, faq.version) == ("My long answer.", 3)


@pytest.mark.django_db(transaction=True)
def test_who_is_overtaken_in_the_very_moment_is_told_as_well(editor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    faq = make_faq("How do I pay?", "By card.")
    real = services.edit_faq

    def overtake() -> None:
        real(faq=faq, actor=None, answer="By cheque.")
        connection.close()

    def overtaken(**fields: Any) -> FAQ:
        monkeypatch.setattr(services, "edit_faq", real)
        thread = Thread(target=overtake)
        thread.start()
        thread.join()
        return real(**fields)

    monkeypatch.setattr(services, "edit_faq", overtaken)
    answer = editor.post(url(faq), form(faq, answer="Mine."))
    assert answer.status_code == 200
    assert "Mine." in answer.content.decode()
    assert "has changed this FAQ since you opened it" in answer.content.decode()
    assert FAQ.objects.get(pk=faq.pk).answer == "By cheque."


def test_a_language_that_a_translation_has_already_is_refused_on_the_form(editor: Client) -> None:
    english, german = make_faq("How do I pay?"), make_faq("Wie zahle ich?", language="de")
    link_translation(faq=english, other=german, actor=None)
    english.refresh_from_db()
    answer = editor.post(url(english), form(english, language="de"))
    assert answer.status_code == 200
    assert "already has this language" in answer.content.decode()
    english.refresh_from_db()
    assert english.language == "en"


def test_the_form_links_the_public_page_only_where_there_is_one(editor: Client) -> None:
    shown, draft = make_faq(), make_faq(published=False)
    assert reverse("faqs:faq", args=[shown.pk]) in text_of(editor, url(shown))
    assert reverse("faqs:faq", args=[draft.pk]) not in text_of(editor, url(draft))


# --- Many at once ---------------------------------------------------------------------------------------------------
def act(client: Client, action: str, *faqs: FAQ) -> str:
    answer = client.post(LIST, {"action": action, "_selected_action": [str(faq.pk) for faq in faqs]}, follow=True)
    return " | ".join(str(message) for message in answer.context["messages"])


def test_publishing_many_counts_them_and_says_which_cannot(editor: Client) -> None:
    drafts = [make_faq(published=False) for _ in range(3)]
    over = make_faq("Over?", published=False)
    FAQ.objects.filter(pk=over.pk).update(valid_until=timezone.now())
    said = act(editor, "publish_chosen", *drafts, make_faq(), over)
    assert "3 FAQs are published. 1 was so already." in said
    assert "“Over?” is valid no longer." in said
    assert FAQ.objects.filter(status="published").count() == 4


def test_archived_ones_are_not_published_by_the_way(editor: Client) -> None:
    gone = make_faq("Gone?")
    services.archive_faqs(faqs=[gone], actor=None)
    answer = editor.post(
        f"{LIST}?status=any", {"action": "publish_chosen", "_selected_action": [str(gone.pk)]}, follow=True
    )
    assert "“Gone?” is archived." in [str(message) for message in answer.context["messages"]]
    gone.refresh_from_db()
    assert gone.status == "archived"


def test_archiving_many(editor: Client) -> None:
    said = act(editor, "archive_chosen", make_faq(), make_faq(published=False))
    assert "2 FAQs are archived." in said
    assert set(FAQ.objects.values_list("status", flat=True)) == {"archived"}


def test_publishing_a_hundred_takes_few_queries(editor: Client, django_assert_max_num_queries: Any) -> None:
    faqs = [make_faq(published=False) for _ in range(50)]
    with django_assert_max_num_queries(90):  # one record each, and a fixed number beside
        act(editor, "publish_chosen", *faqs)
    assert FAQ.objects.filter(status="published").count() == 50


def test_one_is_published_archived_and_brought_back_by_buttons(editor: Client) -> None:
    faq = make_faq(published=False)
    for button, expected in (("publish", "published"), ("archive", "archived"), ("unarchive", "draft")):
        assert editor.post(url(faq, button)).status_code == 302
        faq.refresh_from_db()
        assert faq.status == expected
