"""The pages of errors: what they say, in which language, and that they need neither session nor database."""

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path

from chatbot_project.error_pages import page_at_the_door
from chatbot_project.lib.api.errors import too_large
from chatbot_project.lib.correlation import bound
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.refusing import too_late, too_many
from chatbot_project.urls import handler400, handler403, handler404, handler500  # noqa: F401

RAISED = {
    "400": SuspiciousOperation("secret"),
    "413": RequestDataTooBig("secret"),
    "403": PermissionDenied("secret"),
    "404": Http404("secret"),
    "429": ApplicationError("rate_limited", "Wait a minute.", 429, retry_after=60),
    "500": ZeroDivisionError("secret"),
    "503": OperationalError("secret"),
}


def fails(request: HttpRequest, kind: str) -> HttpResponse:
    raise RAISED[kind]


urlpatterns = [
    path("fails/<str:kind>", fails),
    path("api/fails/<str:kind>", fails),
    path("", include("chatbot_project.urls")),
]
HTML = {"Accept": "text/html"}


@pytest.fixture
def page(settings: Any) -> Client:
    settings.ROOT_URLCONF = __name__
    return Client(raise_request_exception=False)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "title", "german"),
    [
        ("400", "The request cannot be read", "Die Anfrage ist nicht lesbar"),
        ("403", "You may not do this", "Das dürfen Sie nicht"),
        ("404", "Nothing here", "Hier ist nichts"),
        ("413", "That is too large", "Das ist zu groß"),
        ("429", "Too many requests", "Zu viele Anfragen"),
        ("500", "Something broke on our side", "Bei uns ist etwas kaputtgegangen"),
        ("503", "A part of the service is away", "Ein Teil des Dienstes fehlt"),
    ],
)
def test_every_error_has_a_page_in_the_language_of_who_asks(page: Client, kind: str, title: str, german: str) -> None:
    answer = page.get(f"/fails/{kind}", headers=HTML)
    assert answer.status_code == int(kind)
    text = answer.content.decode()
    assert f"<h1>{title}</h1>" in text
    assert '<html lang="en">' in text
    assert 'href="/status/"' in text
    assert "secret" not in text
    text = page.get(f"/fails/{kind}", headers={**HTML, "Accept-Language": "de"}).content.decode()
    assert f"<h1>{german}</h1>" in text
    assert '<html lang="de">' in text


@pytest.mark.parametrize("kind", ["413", "500", "503"])
def test_pages_that_stand_alone_need_no_database(page: Client, kind: str) -> None:
    answer = page.get(f"/fails/{kind}", headers=HTML)  # pytest-django lets no query through
    assert answer.status_code == int(kind)


@pytest.mark.django_db
def test_the_page_names_the_requests_id_for_support(page: Client) -> None:
    with bound(request_id="0193abcd-support"):
        for kind in ("403", "500", "503"):
            assert "<code>0193abcd-support</code>" in page.get(f"/fails/{kind}", headers=HTML).content.decode()
        assert "0193abcd" not in page.get("/fails/404", headers=HTML).content.decode()


@pytest.mark.django_db
def test_a_form_without_a_good_token_is_told_so() -> None:
    answer = Client(enforce_csrf_checks=True).post("/accounts/sign-in/", headers=HTML)
    assert answer.status_code == 403
    assert "This page was open for too long" in answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "code"), [("500", "internal_error"), ("503", "unavailable"), ("429", "rate_limited")])
def test_the_api_keeps_its_one_shape(page: Client, kind: str, code: str) -> None:
    answer = page.get(f"/api/fails/{kind}", headers=HTML)
    assert (answer.status_code, answer["Content-Type"]) == (int(kind), "application/problem+json")
    assert answer.json()["code"] == code


def test_a_body_that_is_not_received_is_answered_with_a_page() -> None:
    assert b"<h1>Das ist zu gro" in page_at_the_door(too_large, "de-AT, en;q=0.5")
    assert b"<h1>That is too large" in page_at_the_door(too_large, "")


def test_who_comes_when_too_many_wait_gets_a_page_that_says_so() -> None:
    assert b"<h1>Zu viele auf einmal" in page_at_the_door(too_many, "de")


def test_whose_form_arrives_too_late_gets_a_page_that_says_so() -> None:
    assert b"<h1>Das hat zu lange gedauert" in page_at_the_door(too_late, "de")
