"""The consent to count mood and topic is asked only where the operator counts them."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import Consent, Purpose, User
from accounts.privacy import consents
from accounts.privacy.policies import policies
from accounts.tests.api_client import ApiClient
from accounts.tests.factories import agree
from chatbot_project.lib.errors import NotFound

pytestmark = pytest.mark.django_db

TITLE = "Count how conversations go"
DECIDE = "privacy/consents/insights"


def asked_of(user: User) -> list[str]:
    return [str(each.policy.purpose) for each in consents.open_questions(user)]


def test_off_nobody_is_asked(owner: User, client: Client, browser: Any) -> None:
    assert asked_of(owner) == ["improvement"]
    assert [each.purpose for each in policies()] == ["improvement"]
    for page in (client.get("/accounts/sign-up/"), browser(owner).get("/privacy/")):
        assert TITLE not in page.content.decode()
    assert [each["purpose"] for each in ApiClient().get("privacy/policies").json()["items"]] == ["improvement"]


def test_on_everybody_is(owner: User, client: Client, browser: Any, settings: Any) -> None:
    settings.CONVERSATION_INSIGHTS = True
    assert asked_of(owner) == ["improvement", "insights"]
    for page in (client.get("/accounts/sign-up/"), browser(owner).get("/privacy/")):
        assert TITLE in page.content.decode()
    agree(owner, Purpose.INSIGHTS)
    assert asked_of(owner) == ["improvement"]
    assert consents.allows(owner, Purpose.INSIGHTS)
    assert not consents.allows(owner, Purpose.IMPROVEMENT)


def test_off_nobody_can_agree(owner: User, browser: Any) -> None:
    with pytest.raises(NotFound):
        agree(owner, Purpose.INSIGHTS)
    api = ApiClient.of(owner)
    for granted in (True, False):
        assert api.put(DECIDE, {"granted": granted, "version": 1}).status_code == 404
    browser(owner).post("/privacy/consents/insights/", {"granted": "1", "version": "1"})
    said = [{"purpose": "insights", "granted": True, "version": 1}]
    body = {"email": "new@example.org", "password": "correct horse battery", "consents": said}
    assert ApiClient().post("auth/register", body).status_code == 400
    assert not Consent.objects.exists()


def test_who_agreed_before_it_was_turned_off_sees_so_and_withdraws(owner: User, browser: Any, settings: Any) -> None:
    settings.CONVERSATION_INSIGHTS = True
    agree(owner, Purpose.INSIGHTS)
    settings.CONVERSATION_INSIGHTS = False
    assert asked_of(owner) == ["improvement"]
    assert TITLE in browser(owner).get("/privacy/").content.decode()
    answer = ApiClient.of(owner).put(DECIDE, {"granted": False})
    assert (answer.status_code, answer.json()["granted"]) == (200, False)
    assert TITLE not in browser(owner).get("/privacy/").content.decode()
    settings.CONVERSATION_INSIGHTS = True
    assert not consents.allows(owner, Purpose.INSIGHTS)
    assert asked_of(owner) == ["improvement"]
