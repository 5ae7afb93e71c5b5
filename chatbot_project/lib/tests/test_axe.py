"""The browser tests' eye for what is hard to read."""

import shutil

import pytest
from playwright.sync_api import sync_playwright

from chatbot_project.lib.tests.axe import serious_violations

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PAGE = """<!doctype html><html lang="en"><title>Page</title><main style="color-scheme: light dark">
<h1 style="background: light-dark(#fff, #111); color: light-dark(#222, #222)">Hard to read in the dark</h1></main>"""


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")
def test_each_theme_of_a_page_that_stays_open_is_judged_by_itself() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(color_scheme="light")
        page.set_content(PAGE)
        light = serious_violations(page)
        page.emulate_media(color_scheme="dark")
        dark = serious_violations(page)
        page.emulate_media(color_scheme="light")
        again = serious_violations(page)
        browser.close()
    assert (light, again) == ([], [])
    assert [each.split(":")[0] for each in dark] == ["color-contrast"]
