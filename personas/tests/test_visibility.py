from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser

from accounts.tests.factories import make_admin, make_guest, make_moderator, make_user
from personas import services
from personas.models import Persona
from personas.tests.factories import make_draft, make_persona

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("make_person", "seen"),
    [
        (AnonymousUser, ["guests"]),
        (make_guest, ["guests"]),
        (make_user, ["guests", "users"]),
        (make_moderator, ["guests", "users", "staff"]),
        (make_admin, ["guests", "users", "staff"]),
    ],
)
def test_each_person_sees_the_personas_meant_for_them(make_person: Any, seen: list[str]) -> None:
    for position, visibility in enumerate(("guests", "users", "staff")):
        make_persona(f"for-{visibility}", position, visibility=visibility)
    slugs = [persona.slug for persona in Persona.objects.visible_to(make_person())]
    assert slugs == [f"for-{visibility}" for visibility in seen]


def test_drafts_and_archived_personas_are_for_nobody() -> None:
    make_draft("never-published")
    services.archive(persona=make_persona("archived"), actor=None)
    assert not Persona.objects.visible_to(make_admin()).exists()


def test_a_suspended_moderator_sees_no_more_than_others() -> None:
    make_persona(visibility="staff")
    assert not Persona.objects.visible_to(make_moderator(is_active=False)).exists()


def test_visibility_is_that_of_the_published_version() -> None:
    persona = make_persona(visibility="staff")
    services.edit_draft(persona=persona, actor=None, visibility="guests")
    assert not Persona.objects.visible_to(AnonymousUser()).exists()
    services.publish_draft(persona=persona, actor=None)
    assert Persona.objects.visible_to(AnonymousUser()).exists()


def test_a_list_with_its_versions_is_one_query(django_assert_num_queries: Any) -> None:
    for position in (3, 1, 2):
        make_persona(position=position, name=f"Number {position}")
    with django_assert_num_queries(1):
        personas = list(Persona.objects.visible_to(AnonymousUser()).with_published())
        assert [persona.published.name for persona in personas] == ["Number 1", "Number 2", "Number 3"]
