"""Setting up the second factor and signing in with it, in a real browser: by keyboard, on a phone, in the dark."""

import re
from base64 import b32decode
from collections.abc import Iterator
from time import time

import pytest
from django_otp.oath import TOTP

from accounts.tests.factories import PASSWORD, make_user
from faqs.tests.browser import (
    PHONE,
    WIDE,
    OpenPage,
    module_server,
    needs_browser,
    open_page,
    overflow,
    server,
    violations,
)

__all__ = ["module_server", "open_page", "server"]  # fixtures
pytestmark = needs_browser


@pytest.fixture(scope="module", autouse=True)
def _required() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("REQUIRE_STAFF_2FA", "true")  # for the process that `module_server` starts
        yield


def code(secret: str, *, steps: int = 0) -> str:
    totp = TOTP(b32decode(secret))
    totp.time = time() + 30 * steps
    return f"{totp.token():06d}"


@pytest.mark.parametrize(("viewport", "scheme"), [(PHONE, "light"), (WIDE, "dark")])
def test_staff_set_it_up_and_come_back_with_a_code(open_page: OpenPage, viewport: dict, scheme: str) -> None:
    make_user("ada@example.org", PASSWORD, role="moderator", username="ada")
    page = open_page("/admin/", viewport=viewport, color_scheme=scheme, locale="en")

    def sign_in() -> None:
        page.get_by_label("E-mail").fill("ada@example.org")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.keyboard.press("Enter")

    sign_in()
    page.get_by_role("heading", name="Set up two-factor sign-in").wait_for()
    assert page.locator(".qr svg").bounding_box()["width"] > 150
    assert (violations(page), overflow(page)) == ([], 0)
    page.get_by_text("No camera at hand?").click()
    secret = page.locator(".secret").inner_text()
    page.get_by_label("Code that the app shows").fill(code(secret))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Your recovery codes").wait_for()
    page.get_by_role("button", name="Copy").wait_for()
    codes = page.get_by_label("Your recovery codes").input_value().split("\n")
    assert all(re.fullmatch(r"[a-z2-7]{4}(-[a-z2-7]{4}){3}", each) for each in codes)
    assert len(codes) == 10
    assert (violations(page), overflow(page)) == ([], 0)
    page.get_by_role("link", name="I have kept them").click()
    page.wait_for_url("**/admin/")
    page.context.clear_cookies()
    page.goto(page.url)
    sign_in()
    page.get_by_role("heading", name="Enter a code").wait_for()
    assert (violations(page), overflow(page)) == ([], 0)
    page.get_by_label("Code").fill(code(secret, steps=1))
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/")
    page.goto(page.url.replace("/admin/", "/accounts/second-factor/"))
    page.get_by_text("10 codes left").wait_for()
    assert (violations(page), overflow(page)) == ([], 0)


def test_the_german_page_fits_a_phone(open_page: OpenPage) -> None:
    page = open_page("/accounts/sign-in/", viewport=PHONE, locale="de")
    assert overflow(page) == 0
