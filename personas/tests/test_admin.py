"""The admin of personas: who may do what, and that every button does what its service does."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, User
from faqs.tests.factories import make_category
from personas import services
from personas.models import Persona, PersonaVersion
from personas.tests.factories import make_draft, make_persona, republish

pytestmark = pytest.mark.django_db

LIST = "/admin/personas/persona/"
PAGES = ["change", "versions", "side_chat"]
BUTTONS = ["publish", "discard", "roll_back", "archive", "restore"]


def url(persona: Persona, page: str) -> str:
    return reverse(f"admin:personas_persona_{page}", args=[persona.pk])


def form(**changes: Any) -> dict[str, Any]:
    return {
        "slug": "new", "position": "5", "name": "New", "description": "", "emoji": "🙂", "colour": "red",
        "greeting": "Hi\r\nthere", "suggestions": "One?\r\n\r\n Two? ", "system_prompt": "Be new.", "model": "",
        "temperature": "0.4", "max_reply_tokens": "300", "context_budget": "2000", "visibility": "users",
        "faq_mode": "off", "contact": "", "personal_data": "outside",
        "flag_from": "0.5", "block_from": "0.9", "cache_hours": "0",
    } | changes  # fmt: skip


def messages(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


@pytest.fixture
def persona() -> Persona:
    """Published twice, with a draft."""
    persona = make_persona("helper", name="One")
    republish(persona, name="Two")
    services.edit_draft(persona=persona, actor=None, name="Three", system_prompt="Line\n<script>alert(1)</script>")
    return persona


# --- Who may what ---------------------------------------------------------------------------------------------------
def test_outsiders_reach_nothing(as_outsider: Client, persona: Persona) -> None:
    for address in (LIST, f"{LIST}add/", *(url(persona, page) for page in PAGES)):
        assert as_outsider.get(address).status_code == 302
    for page in [*BUTTONS, "side_chat_reply"]:
        assert as_outsider.post(url(persona, page), {"number": 1}).status_code == 302
    assert persona.versions.count() == 3


def test_a_moderator_looks_and_changes_nothing(as_moderator: Client, persona: Persona) -> None:
    assert as_moderator.get(LIST).status_code == 200
    content = as_moderator.get(url(persona, "change")).content.decode()
    assert "Three" in content
    assert "&lt;script&gt;" in content
    versions = as_moderator.get(url(persona, "versions")).content.decode()
    assert "<button>" not in versions.partition("compare")[0]
    assert as_moderator.get(f"{LIST}add/").status_code == 403
    assert as_moderator.get(url(persona, "side_chat")).status_code == 403
    assert as_moderator.post(url(persona, "change"), form()).status_code == 403
    for page in [*BUTTONS, "side_chat_reply"]:
        assert as_moderator.post(url(persona, page), {"number": 1}).status_code == 403
    persona.refresh_from_db()
    assert (persona.published.name, persona.archived_at, persona.versions.count()) == ("Two", None, 3)


def test_an_admin_opens_every_page(as_admin: Client, persona: Persona) -> None:
    for address in (LIST, f"{LIST}add/", *(url(persona, page) for page in PAGES)):
        assert as_admin.get(address).status_code == 200


def test_nobody_deletes_a_persona(as_admin: Client, persona: Persona) -> None:
    assert as_admin.post(url(persona, "delete"), {"post": "yes"}).status_code == 403
    assert Persona.objects.exists()


@pytest.mark.parametrize("page", [*PAGES, *BUTTONS, "side_chat_reply"])
def test_an_absent_persona_is_absent(as_admin: Client, persona: Persona, page: str) -> None:
    persona.pk = make_draft().pk  # an id, but of something else
    method = as_admin.get if page in PAGES else as_admin.post
    assert method(url(persona, page)).status_code in ({302} if page == "change" else {404})


@pytest.mark.parametrize("page", [*BUTTONS, "side_chat_reply"])
def test_a_link_cannot_press_a_button(as_admin: Client, admin_user: User, persona: Persona, page: str) -> None:
    assert as_admin.get(url(persona, page)).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    assert strict.post(url(persona, page), {"number": 1}).status_code == 403
    persona.refresh_from_db()
    assert persona.published.name == "Two"


# --- The list and the form ------------------------------------------------------------------------------------------
def test_the_list_says_what_is_in_force_in_few_queries(
    as_admin: Client, persona: Persona, django_assert_max_num_queries: Any
) -> None:
    make_draft("unfinished")
    services.archive(persona=make_persona("old"), actor=None)
    for _ in range(20):
        make_persona()
    with django_assert_max_num_queries(8):
        page = as_admin.get(LIST).content.decode()
    assert "v2, draft" in page
    assert "not published, draft" in page
    assert "archived" in page


def test_adding_makes_a_draft_that_nobody_sees(as_admin: Client, admin_user: User) -> None:
    answer = as_admin.post(f"{LIST}add/", form())
    assert answer.status_code == 302
    draft = PersonaVersion.objects.get()
    assert (draft.persona.slug, draft.persona.position, draft.persona.published) == ("new", 5, None)
    assert (draft.author, draft.name, draft.greeting, draft.suggestions) == (
        admin_user,
        "New",
        "Hi\nthere",
        ["One?", "Two?"],
    )
    assert not Persona.objects.visible_to(admin_user).exists()


def test_editing_changes_the_draft_and_not_what_is_in_force(
    as_admin: Client, admin_user: User, persona: Persona
) -> None:
    page = as_admin.get(url(persona, "change"))
    assert page.context["adminform"].form.initial["name"] == "Three"
    assert as_admin.post(url(persona, "change"), form(name="Four", position="7", slug="other")).status_code == 302
    persona.refresh_from_db()
    draft = persona.versions.drafts().get()
    assert (draft.name, draft.author, draft.temperature) == ("Four", admin_user, 0.4)
    assert (persona.slug, persona.position, persona.published.name) == ("helper", 7, "Two")


def test_saving_without_a_change_begins_no_draft(as_admin: Client) -> None:
    persona = make_persona("new", 5, suggestions=["One?", "Two?"], greeting="Hi\nthere")
    shown = as_admin.get(url(persona, "change")).context["adminform"].form
    sent = {bound.name: bound.field.prepare_value(bound.initial) for bound in shown}
    assert as_admin.post(url(persona, "change"), sent | {"position": "6"}).status_code == 302
    persona.refresh_from_db()
    assert (persona.position, persona.versions.count()) == (6, 1)
    as_admin.post(url(persona, "change"), sent | {"greeting": "Hello"})
    assert persona.versions.drafts().get().greeting == "Hello"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "x" * 61), ("emoji", "text"), ("colour", "mauve"), ("suggestions", "a\na"),
        ("suggestions", "\n".join("abcdefg")), ("system_prompt", ""), ("model", "nowhere/x"), ("temperature", "9"),
        ("temperature", "nan"), ("max_reply_tokens", "1"), ("context_budget", "1"), ("visibility", "all"),
        ("slug", "helper"), ("slug", "a b"), ("position", "-1"),
    ],
)  # fmt: skip
def test_a_mistake_is_shown_at_its_field(as_admin: Client, persona: Persona, field: str, value: str) -> None:
    answer = as_admin.post(f"{LIST}add/", form(**{field: value}))
    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors
    assert not Persona.objects.filter(slug="new").exists()


# --- Versions ---------------------------------------------------------------------------------------------------------
def test_the_history_compares_the_draft_with_what_is_in_force(as_admin: Client, persona: Persona) -> None:
    page = as_admin.get(url(persona, "versions"))
    assert (page.context["old"], page.context["new"]) == ("2", "draft")
    html = page.content.decode()
    assert "<del>Two</del><ins>Three</ins>" in html
    assert "<ins>&lt;script&gt;alert(1)&lt;/script&gt;</ins>" in html
    assert "<script>alert(1)" not in html


def test_any_two_versions_can_be_compared(as_admin: Client, persona: Persona) -> None:
    page = as_admin.get(url(persona, "versions"), {"old": "2", "new": "1"})
    assert [(label, [tuple(line) for line in lines]) for label, lines in page.context["diff"]] == [
        ("name", [("removed", "Two"), ("added", "One")])
    ]
    same = as_admin.get(url(persona, "versions"), {"old": "1", "new": "1"})
    assert "the two are equal" in same.content.decode()
    for odd in ({"old": "99", "new": "x"}, {"old": "1"}, {"new": "'"}):
        assert as_admin.get(url(persona, "versions"), odd).context["old"] == "2"


def test_a_persona_with_one_version_has_nothing_to_compare(as_admin: Client) -> None:
    page = as_admin.get(url(make_persona(), "versions"))
    assert page.context["diff"] == []
    assert "What changed" not in page.content.decode()


# --- Buttons ----------------------------------------------------------------------------------------------------------
def test_publish_puts_the_draft_in_force(as_admin: Client, admin_user: User, persona: Persona) -> None:
    answer = as_admin.post(url(persona, "publish"), follow=True)
    assert answer.redirect_chain == [(url(persona, "versions"), 302)]
    assert messages(answer) == ["The draft is published."]
    persona.refresh_from_db()
    assert (persona.published.name, persona.published.number) == ("Three", 3)
    assert AuditEvent.objects.latest("id").actor.person == admin_user
    assert messages(as_admin.post(url(persona, "publish"), follow=True)) == ["There is no draft to publish."]


def test_a_draft_that_became_invalid_is_not_published_and_says_why(as_admin: Client, persona: Persona) -> None:
    persona.versions.drafts().update(model="gone/model")
    answer = as_admin.post(url(persona, "publish"), follow=True)
    assert "gone" in messages(answer)[0]
    assert persona.versions.drafts().exists()


def test_roll_back_brings_an_earlier_version_back(as_admin: Client, persona: Persona) -> None:
    answer = as_admin.post(url(persona, "roll_back"), {"number": "1"}, follow=True)
    assert messages(answer) == ["The earlier version is in force again."]
    persona.refresh_from_db()
    assert (persona.published.name, persona.published.number) == ("One", 3)
    assert messages(as_admin.post(url(persona, "roll_back"), {"number": "3"}, follow=True)) == [
        "Choose an earlier version of this persona."
    ]
    for number in ("99", "", "x", "²", "-1"):
        assert as_admin.post(url(persona, "roll_back"), {"number": number}).status_code == 404


def test_discard_forgets_the_draft(as_admin: Client, persona: Persona) -> None:
    as_admin.post(url(persona, "discard"))
    assert not persona.versions.drafts().exists()
    never_published = make_draft().persona
    answer = as_admin.post(url(never_published, "discard"))
    assert answer.url == LIST
    assert not Persona.objects.filter(pk=never_published.pk).exists()


def test_archive_and_restore(as_admin: Client, admin_user: User, persona: Persona) -> None:
    as_admin.post(url(persona, "archive"))
    assert not Persona.objects.visible_to(admin_user).exists()
    page = as_admin.get(url(persona, "versions")).content.decode()
    assert url(persona, "restore") in page
    assert url(persona, "publish") not in page
    assert messages(as_admin.post(url(persona, "publish"), follow=True)) == ["Restore this persona first."]
    as_admin.post(url(persona, "restore"))
    assert Persona.objects.visible_to(admin_user).exists()


# --- Knowledge --------------------------------------------------------------------------------------------------------
def test_the_form_offers_the_category_tree_and_keeps_what_was_chosen(as_admin: Client) -> None:
    cards = make_category("cards", name="Cards")
    make_category("lost-cards", parent=cards, name="Lost")
    page = as_admin.get(f"{LIST}add/").content.decode()
    assert page.index("Cards") < page.index("— Lost")
    sent = form(faq_mode="context", faq_categories=["lost-cards"], unknown_offers=["handover"], contact="a@example.com")
    assert as_admin.post(f"{LIST}add/", sent).status_code == 302
    draft = PersonaVersion.objects.get()
    assert (draft.faq_mode, draft.faq_categories, draft.unknown_offers) == ("context", ["lost-cards"], ["handover"])
    assert draft.contact == "a@example.com"


def test_a_category_that_is_gone_is_shown_and_not_dropped_unseen(as_admin: Client) -> None:
    """Without it the persona would answer from everything."""
    category = make_category("cards")
    persona = make_persona(faq_mode="context", faq_categories=["cards"], slug="new")
    category.delete()
    address = url(persona, "change")
    assert "cards (gone)" in as_admin.get(address).content.decode()
    answer = as_admin.post(address, form(faq_mode="context", faq_categories=["cards"]))
    assert answer.status_code == 200
    assert "There is no FAQ category “cards”" in answer.content.decode()
    assert not PersonaVersion.objects.drafts().exists()
