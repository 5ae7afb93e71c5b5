"""Drafts may change, published versions never; publishing, rolling back and archiving."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.tests.factories import make_admin
from chatbot_project.lib.errors import ApplicationError
from faqs.models import Category
from personas import services
from personas.models import CONTENT_FIELDS, Persona, PersonaVersion
from personas.tests.factories import CONTENT, make_draft, make_persona, republish

pytestmark = pytest.mark.django_db


# --- Immutability -----------------------------------------------------------------------------------------------------
def published() -> PersonaVersion:
    version = make_persona().published
    assert version is not None
    return version


def test_a_published_version_refuses_to_be_saved_or_deleted() -> None:
    version = published()
    version.name = "Other"
    with pytest.raises(ApplicationError, match="cannot be changed") as refusal:
        version.save()
    assert (refusal.value.code, refusal.value.status) == ("version_published", 409)
    with pytest.raises(ApplicationError):
        version.delete()
    version.refresh_from_db()
    assert version.name == CONTENT["name"]


def test_a_copy_from_before_publishing_cannot_change_it_either() -> None:
    draft = make_draft()
    services.publish_draft(persona=draft.persona, actor=None)
    draft.name = "Other"
    with pytest.raises(ApplicationError):
        draft.save()


CHANGES: dict[str, Any] = {
    "name": "x", "description": "x", "emoji": "x", "colour": "red", "greeting": "x", "suggestions": ["x"],
    "system_prompt": "x", "model": "a/b", "temperature": 1.5, "max_reply_tokens": 99, "context_budget": 999,
    "visibility": "staff", "faq_mode": "direct", "faq_categories": ["x"], "unknown_offers": ["rephrase"],
    "contact": "x", "personal_data": "never", "flag_from": 0.1, "block_from": 0.8, "cache_hours": 24,
    "number": 7, "published_at": timezone.now(), "created_at": timezone.now(),
}  # fmt: skip


@pytest.mark.parametrize("field", CHANGES)
def test_the_database_refuses_to_change_any_field_of_a_published_version(field: str) -> None:
    version = published()
    with pytest.raises(IntegrityError, match="cannot be changed"), transaction.atomic():
        PersonaVersion.objects.filter(pk=version.pk).update(**{field: CHANGES[field]})


def test_every_content_field_is_tried() -> None:
    assert set(CONTENT_FIELDS) <= set(CHANGES)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM personas_personaversion",
        "UPDATE personas_personaversion SET published_at = NULL, number = NULL",
        "UPDATE personas_personaversion SET id = gen_random_uuid()",
    ],
)
def test_the_database_refuses_plain_sql_too(sql: str) -> None:
    published()
    with pytest.raises(IntegrityError, match="published persona version"), transaction.atomic():
        connection.cursor().execute(sql)


def test_erasing_its_author_leaves_a_published_version_as_it_is() -> None:
    admin = make_admin()
    draft = make_draft()
    services.edit_draft(persona=draft.persona, actor=admin)
    version = services.publish_draft(persona=draft.persona, actor=admin)
    assert version.author == admin
    PersonaVersion.objects.filter(author=admin).update(author=None)
    version.refresh_from_db()
    assert version.author is None


def test_a_persona_with_published_versions_cannot_be_deleted() -> None:
    persona = make_persona()
    with pytest.raises(IntegrityError):
        persona.delete()


def test_the_database_keeps_to_one_draft_and_one_use_of_a_number() -> None:
    persona = make_persona()
    services.edit_draft(persona=persona, actor=None)
    with pytest.raises(IntegrityError), transaction.atomic():
        PersonaVersion.objects.create(persona=persona, **CONTENT)
    with pytest.raises(IntegrityError), transaction.atomic():
        PersonaVersion.objects.create(persona=persona, number=1, published_at=timezone.now(), **CONTENT)
    with pytest.raises(IntegrityError), transaction.atomic():
        PersonaVersion.objects.create(persona=make_persona(), number=5, **CONTENT)


# --- Drafts and publishing --------------------------------------------------------------------------------------------
def test_a_new_persona_begins_as_a_draft() -> None:
    draft = make_draft("new", position=3)
    assert (draft.is_draft, draft.number, draft.label) == (True, None, "draft")
    assert (draft.persona.slug, draft.persona.position, draft.persona.published) == ("new", 3, None)


def test_publishing_numbers_the_draft_and_puts_it_in_force() -> None:
    persona = make_persona(name="One")
    first = persona.published
    second = republish(persona, name="Two")
    assert [v.number for v in persona.versions.order_by("number")] == [1, 2]
    assert persona.published == second
    assert (second.name, second.label, first.name if first else "") == ("Two", "v2", "One")
    assert not persona.versions.drafts().exists()


def test_a_draft_begins_as_the_published_version_and_changes_only_itself() -> None:
    persona = make_persona(name="One", greeting="Hi")
    draft = services.edit_draft(persona=persona, actor=None, name="Two")
    again = services.edit_draft(persona=persona, actor=None, temperature=0.1)
    assert again.pk == draft.pk
    assert (again.name, again.greeting, again.temperature) == ("Two", "Hi", 0.1)
    persona.refresh_from_db()
    assert persona.published is not None
    assert (persona.published.name, persona.published.temperature) == ("One", CONTENT["temperature"])


def test_there_is_nothing_to_publish_without_a_draft() -> None:
    with pytest.raises(ApplicationError) as refusal:
        services.publish_draft(persona=make_persona(), actor=None)
    assert (refusal.value.code, refusal.value.status) == ("no_draft", 409)


def test_discarding_a_draft_leaves_what_is_published() -> None:
    persona = make_persona(name="One")
    services.edit_draft(persona=persona, actor=None, name="Two")
    services.discard_draft(persona=persona)
    persona.refresh_from_db()
    assert [v.name for v in persona.versions.all()] == ["One"]
    fresh = make_draft("fresh")
    services.discard_draft(persona=fresh.persona)
    assert not Persona.objects.filter(slug="fresh").exists()


def test_publication_is_recorded_with_its_actor() -> None:
    admin = make_admin()
    draft = make_draft()
    services.publish_draft(persona=draft.persona, actor=admin)
    event = AuditEvent.objects.get(action="persona.published")
    assert (event.actor.person, event.object_id, event.details) == (admin, str(draft.persona_id), {"number": 1})


@pytest.mark.django_db(transaction=True)
def test_of_many_who_publish_at_once_one_does() -> None:
    persona = make_persona()
    services.edit_draft(persona=persona, actor=None, name="Two")
    people = 6
    together = Barrier(people)

    def publish(_: int) -> str:
        try:
            together.wait(timeout=10)
            return str(services.publish_draft(persona=persona, actor=None).number)
        except ApplicationError as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(people) as pool:
        outcomes = sorted(pool.map(publish, range(people)))
    assert outcomes == ["2", *["no_draft"] * (people - 1)]
    assert AuditEvent.objects.filter(action="persona.published").count() == 2


@pytest.mark.django_db(transaction=True)
def test_of_many_who_begin_a_draft_at_once_all_work_on_one() -> None:
    persona = make_persona()
    people = 6
    together = Barrier(people)

    def edit(number: int) -> str:
        try:
            together.wait(timeout=10)
            return str(services.edit_draft(persona=persona, actor=None, name=f"Name {number}").pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(people) as pool:
        assert len(set(pool.map(edit, range(people)))) == 1
    assert persona.versions.drafts().count() == 1


# --- History ----------------------------------------------------------------------------------------------------------
def test_rolling_back_publishes_a_copy_with_a_new_number() -> None:
    persona = make_persona(name="One", suggestions=["a", "b"])
    first = persona.published
    republish(persona, name="Two", suggestions=[])
    services.edit_draft(persona=persona, actor=None, name="Three")
    copy = services.roll_back(persona=persona, version=first, actor=None)
    persona.refresh_from_db()
    assert persona.published == copy
    assert (copy.number, copy.content) == (3, first.content)
    assert [v.name for v in persona.versions.published().order_by("number")] == ["One", "Two", "One"]
    assert persona.versions.drafts().get().name == "Three"
    assert AuditEvent.objects.latest("id").details == {"number": 3, "copy_of": 1}


def test_only_an_earlier_version_of_the_same_persona_can_come_back() -> None:
    persona, other = make_persona(), make_persona()
    draft = services.edit_draft(persona=persona, actor=None)
    for version in (persona.published, other.published, draft):
        with pytest.raises(ApplicationError) as refusal:
            services.roll_back(persona=persona, version=version, actor=None)
        assert refusal.value.code == "not_a_past_version"


def test_an_archived_persona_publishes_nothing_until_it_is_restored() -> None:
    admin = make_admin()
    persona = make_persona()
    services.edit_draft(persona=persona, actor=admin, name="Two")
    for _ in range(2):
        services.archive(persona=persona, actor=admin)
    with pytest.raises(ApplicationError) as refusal:
        services.publish_draft(persona=persona, actor=admin)
    assert refusal.value.code == "archived"
    for _ in range(2):
        services.restore(persona=persona, actor=admin)
    assert services.publish_draft(persona=persona, actor=admin).number == 2
    actions = list(AuditEvent.objects.order_by("id").values_list("action", flat=True))
    assert actions == ["persona.published", "persona.archived", "persona.restored", "persona.published"]


# --- Fields -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", " "), ("name", "x" * 61), ("name", "two\nlines"), ("name", "a\x00b"),
        ("name", "a\ud800"),
        ("name", "a\u202eb"), ("description", "x" * 201), ("emoji", "ab"), ("emoji", "<b>"), ("emoji", "🙂" * 17),
        ("colour", "#ff0000"), ("colour", "mauve"), ("greeting", "x" * 2001), ("greeting", "\x1b[31m"),
        ("suggestions", "a"), ("suggestions", {}), ("suggestions", None), ("suggestions", [1]), ("suggestions", [""]),
        ("suggestions", ["a"] * 2), ("suggestions", ["a\nb"]), ("suggestions", list("abcdefg")),
        ("suggestions", ["x" * 201]), ("system_prompt", ""), ("system_prompt", "x" * 20_001), ("model", "gpt-4"),
        ("model", "/x"), ("model", "fake/"), ("model", "fake/a b"), ("model", "nowhere/x"), ("model", "Fake/x"),
        ("temperature", -0.1), ("temperature", 2.1), ("temperature", float("nan")), ("temperature", float("inf")),
        ("temperature", None), ("temperature", "warm"), ("max_reply_tokens", 15), ("max_reply_tokens", 131_073),
        ("max_reply_tokens", None), ("context_budget", 255), ("context_budget", 2_000_001), ("context_budget", "many"),
        ("visibility", "everyone"), ("visibility", ""), ("faq_mode", "on"), ("faq_mode", ""),
        ("personal_data", "off"), ("personal_data", ""),
        ("cache_hours", -1), ("cache_hours", 721), ("flag_from", -0.1), ("block_from", 1.1), ("block_from", 0.4),
        ("faq_categories", "a"), ("faq_categories", None), ("faq_categories", [1]), ("faq_categories", ["a b"]),
        ("faq_categories", ["a"] * 2), ("faq_categories", ["nowhere"]), ("unknown_offers", "rephrase"),
        ("unknown_offers", None), ("unknown_offers", ["money"]), ("unknown_offers", ["rephrase"] * 2),
        ("contact", "x" * 201), ("contact", "two\nlines"),
    ],
)  # fmt: skip
def test_a_field_that_makes_no_sense_is_refused_by_name(settings: Any, field: str, value: Any) -> None:
    settings.LLM_PROVIDERS = {"fake": object()}
    persona = make_persona()
    with pytest.raises(ValidationError) as refusal:
        services.edit_draft(persona=persona, actor=None, **{field: value})
    assert field in refusal.value.message_dict
    assert not persona.versions.drafts().exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("emoji", "👩‍⚕️"), ("emoji", "1️⃣"), ("emoji", "🇩🇪"), ("emoji", ""), ("model", ""), ("model", "fake/llama3:8b"),
        ("model", "fake/meta/llama-3.1"), ("temperature", 0), ("temperature", 2), ("suggestions", []),
        ("greeting", "# Hi\n\n\tthere"), ("name", "Ünïcode 名"), ("max_reply_tokens", 16),
        ("faq_mode", "direct"), ("unknown_offers", ["handover", "rephrase"]), ("contact", "help@example.com"),
    ],
)  # fmt: skip
def test_a_field_that_makes_sense_is_kept(settings: Any, field: str, value: Any) -> None:
    settings.LLM_PROVIDERS = {"fake": object()}
    services.edit_draft(persona=make_persona(slug="kept"), actor=None, **{field: value})
    assert getattr(PersonaVersion.objects.drafts().get(), field) == value


def test_line_ends_and_space_around_a_text_are_tidied() -> None:
    draft = make_draft(name="  Helper ", greeting="\r\na\r\nb \r\n", suggestions=[" a "])
    assert (draft.name, draft.greeting, draft.suggestions) == ("Helper", "a\nb", ["a"])


def test_a_system_prompt_must_leave_room_for_a_question() -> None:
    with pytest.raises(ValidationError) as refusal:
        make_draft(system_prompt="word " * 400, context_budget=500)
    assert "context_budget" in refusal.value.message_dict


def test_a_draft_whose_provider_is_gone_cannot_be_published(settings: Any) -> None:
    settings.LLM_PROVIDERS = {"fake": object()}
    draft = make_draft(model="fake/x")
    settings.LLM_PROVIDERS = {}
    with pytest.raises(ValidationError):
        services.publish_draft(persona=draft.persona, actor=None)
    assert PersonaVersion.objects.drafts().exists()


@pytest.mark.parametrize("slug", ["", "two words", "ümlaut", "x" * 61, "a/b"])
def test_a_slug_is_made_for_addresses(slug: str) -> None:
    with pytest.raises(ValidationError, match="slug"):
        services.create_persona(slug=slug, actor=None, **CONTENT)


def test_a_slug_is_used_once() -> None:
    make_draft("once")
    with pytest.raises(ValidationError, match="slug"):
        make_draft("once")


def test_moving_a_persona_changes_its_place_alone() -> None:
    persona = make_persona("last", position=9)
    make_persona("middle", position=5)
    services.move_persona(persona=persona, position=1)
    assert [p.slug for p in Persona.objects.all()] == ["last", "middle"]


# --- Knowledge --------------------------------------------------------------------------------------------------------
def test_a_category_that_does_not_exist_is_named_when_a_draft_is_published() -> None:
    category = Category.objects.create(name="Cards", slug="cards")
    draft = make_draft(faq_mode="context", faq_categories=["cards"])
    category.delete()
    with pytest.raises(ValidationError) as refusal:
        services.publish_draft(persona=draft.persona, actor=None)
    assert "cards" in refusal.value.message_dict["faq_categories"][0]


def test_a_contact_that_is_offered_has_to_be_said() -> None:
    with pytest.raises(ValidationError) as refusal:
        make_draft(unknown_offers=["contact"])
    assert "contact" in refusal.value.message_dict
    assert make_draft(unknown_offers=["contact"], contact="help@example.com").contact == "help@example.com"


def test_answering_from_the_faq_needs_room_for_sources() -> None:
    assert make_draft(context_budget=300).context_budget == 300
    with pytest.raises(ValidationError) as refusal:
        make_draft(context_budget=300, faq_mode="context")
    assert "context_budget" in refusal.value.message_dict
