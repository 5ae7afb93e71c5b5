"""The schema's address and the two pages that show it, in a real browser."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from chatbot_project.api_docs import _redoc_bytes
from conversations.tests.browser import chromium  # noqa: F401  fixture


def test_the_schema_comes_as_json_and_as_yaml() -> None:
    plain = Client().get("/api/schema/")
    assert plain["Content-Type"] == "application/json"
    schema = json.loads(plain.content)
    assert schema["openapi"].startswith("3.1")
    asked = Client().get("/api/schema/?format=yaml")
    accepted = Client().get("/api/schema/", headers={"Accept": "application/yaml"})
    assert asked.content == accepted.content
    assert yaml.safe_load(asked.content) == schema


def test_the_schema_is_made_without_a_warning_and_is_valid(tmp_path: Path) -> None:
    """In a process of its own: its makers note what they warned of for good."""
    command = [sys.executable, "manage.py", "spectacular", "--validate", "--fail-on-warn", "--file"]
    made = subprocess.run(
        [*command, str(tmp_path / "schema.yaml")], cwd=settings.BASE_DIR, capture_output=True, text=True
    )
    assert (made.returncode, made.stderr) == (0, "")


def test_every_tag_is_described() -> None:
    schema = Client().get("/api/schema/").json()
    operations = [each for path in schema["paths"].values() for each in path.values() if isinstance(each, dict)]
    assert {tag for each in operations for tag in each["tags"]} == {tag["name"] for tag in schema["tags"]}


def test_a_schema_that_is_known_is_not_sent_again() -> None:
    first = Client().get("/api/schema/")
    again = Client().get("/api/schema/", headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_an_unknown_format_of_the_schema_is_absent_in_the_one_shape() -> None:
    answer = Client().get("/api/schema/?format=xml")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_every_operation_can_answer_with_a_problem() -> None:
    schema = Client().get("/api/schema/").json()
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    openai = {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIError"}}}
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            assert operation["responses"]["default"]["content"] == (openai if path.startswith("/v1/") else problem)
    assert schema["components"]["schemas"]["Problem"]["required"] == ["code", "detail", "status", "title"]


def test_the_schema_says_what_needs_nobody_to_be_signed_in_and_what_a_slug_is() -> None:
    paths = Client().get("/api/schema/").json()["paths"]
    for path in ("/api/v1/faqs", "/api/v1/faqs/search", "/api/v1/faq-categories", "/api/v1/personas"):
        assert {} in paths[path]["get"]["security"]
    assert {} not in paths["/api/v1/faqs"]["post"]["security"]
    (slug,) = [each for each in paths["/api/v1/personas/{slug}/draft"]["get"]["parameters"] if each["in"] == "path"]
    assert slug["schema"]["pattern"] == "^[-a-zA-Z0-9_]+$"


def test_redocs_script_names_no_other_server_to_load_from() -> None:
    assert b"cdn.redoc.ly" not in _redoc_bytes()
    assert b"favicon.svg" in _redoc_bytes()


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def page(chromium: Browser, live_server: LiveServer, complaints: list[str]) -> Any:  # noqa: F811
    context = chromium.new_context()
    page = context.new_page()

    def requested(request: Any) -> None:
        if not request.url.startswith((live_server.url, "data:", "blob:")):
            complaints.append(f"request to {request.url}")

    page.on("request", requested)
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_pages_show_the_api_without_a_complaint_and_load_nothing_from_elsewhere(
    path: str, page: Page, live_server: LiveServer, complaints: list[str]
) -> None:
    answer = page.goto(live_server.url + path)
    # Both draw the whole API before they show any of it: that takes a busy machine its time.
    expect(page.get_by_role("heading", name="Nono").first).to_be_visible(timeout=60_000)
    page.wait_for_load_state("networkidle")
    assert complaints == []
    policy = answer.headers["content-security-policy"]
    script = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert script == "script-src 'self'"
    assert page.locator("script:not([src])").count() == 0
