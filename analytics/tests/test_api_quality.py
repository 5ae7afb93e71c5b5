"""Quality over the API."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import User
from accounts.tests.api_client import ApiClient
from accounts.tests.factories import make_moderator, make_user
from analytics import rollups
from personas.models import Persona
from personas.tests.factories import make_persona

from .replies import judged, make_item, make_reply

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
QUALITY = "analytics/quality?from=2026-03-01&to=2026-03-31"


@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona()


@pytest.fixture
def verdicts(persona: Persona) -> None:
    """Six people's replies to one persona, of which two reviewers found five right; one person's to another."""
    few = make_persona()
    for number in range(6):
        make_item(make_reply(make_user(), persona, NOON + timedelta(minutes=number)))
    make_item(make_reply(make_user(), few, NOON), state="settled", verdict="no")
    for reviewer in (make_moderator(), make_moderator()):
        for verdict in ("yes", "yes", "yes", "yes", "yes", "no"):
            judged(reviewer, verdict)
    rollups.rebuild()


def test_staff_read_what_the_page_tells(verdicts: None, moderator: User) -> None:
    body = ApiClient.of(moderator).get(QUALITY).json()
    assert (body["from"], body["to"], body["is_on"]) == ("2026-03-01", "2026-03-31", False)
    whole = body["items"][0]
    assert (whole["persona"], whole["version"], whole["stratum"], whole["suppressed"]) == (None, None, "random", False)
    assert whole["judged"] == 7
    assert 0 < whole["low"] < whole["share"] < whole["high"] < 1
    assert {each["criterion"] for each in body["agreement"]} >= {"correct", "safe", "model"}


def test_personas_of_few_people_are_suppressed_alone_and_among_all(
    verdicts: None, persona: Persona, moderator: User
) -> None:
    api = ApiClient.of(moderator)
    groups = [each for each in api.get(QUALITY).json()["items"] if each["persona"]]
    assert groups
    assert all(each["suppressed"] and each["judged"] is None and each["share"] is None for each in groups)
    alone = api.get(f"{QUALITY}&persona={persona.slug}").json()
    assert [each["suppressed"] for each in alone["items"]] == [True]
    assert alone["agreement"] == []
    refused = api.get(f"{QUALITY}&persona=nobody")
    assert (refused.status_code, [*refused.json()["fields"]]) == (400, ["persona"])


def test_it_comes_as_csv_too(verdicts: None, moderator: User) -> None:
    lines = ApiClient.of(moderator).get(f"{QUALITY}&format=csv").content.decode().splitlines()
    assert lines[0].startswith("persona,version,stratum,suppressed,judged")
    assert lines[1].startswith(",,random,")


def test_others_are_refused(owner: User, guest: User) -> None:
    for person in (owner, guest):
        assert ApiClient.of(person).get(QUALITY).status_code == 403
