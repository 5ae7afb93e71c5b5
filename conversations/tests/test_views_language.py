"""The pages in German, and a catalogue that is whole."""

import gettext
import re
from pathlib import Path

from django.conf import settings
from django.test import Client

from accounts.models import User
from personas.models import Persona

CATALOGUE = Path(settings.BASE_DIR) / "locale" / "de" / "LC_MESSAGES"
PLACEHOLDER = re.compile(r"%\(\w+\)0?\d*[a-zA-Z]|%0?\d*[sdX]|\{\w+\}")


def test_a_browser_that_asks_for_german_gets_it(db: None, owner: User, persona: Persona) -> None:
    client = Client(headers={"accept-language": "de-AT,de;q=0.9"})
    landing = client.get("/").content.decode()
    assert '<html lang="de">' in landing
    assert "Ohne Konto ausprobieren" in landing
    client.force_login(owner)
    page = client.get("/").content.decode()
    assert "Mit wem möchten Sie sprechen?" in page
    assert ">Verbindung verloren. Verbindet neu …<" in page


def test_the_catalogue_is_whole_and_compiled() -> None:
    assert "fuzzy" not in (CATALOGUE / "django.po").read_text()
    texts = catalogue()
    assert [key for key, value in texts.items() if not value] == []
    with (CATALOGUE / "django.mo").open("rb") as compiled:
        translations = gettext.GNUTranslations(compiled)
    assert {key: translations.gettext(key) for key in texts} == texts


def test_translations_keep_the_placeholders() -> None:
    for key, value in catalogue().items():
        assert sorted(PLACEHOLDER.findall(key)) == sorted(PLACEHOLDER.findall(value)), key


def catalogue() -> dict[str, str]:
    """Each text with its translation."""
    entries = re.findall(r'^msgid ((?:".*"\n)+)msgstr ((?:".*"\n?)+)', (CATALOGUE / "django.po").read_text(), re.M)
    texts = {_joined(key): _joined(value) for key, value in entries}
    del texts[""]  # the header
    return texts


def _joined(lines: str) -> str:
    text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', lines))
    return text.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
