"""The pages in German, and a catalogue that is whole."""

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.test import Client
from django.utils.translation.template import templatize

from accounts.models import User
from personas.models import Persona

Texts = tuple[str, ...]

BASE = Path(settings.BASE_DIR)
CATALOGUE = BASE / "locale" / "de" / "LC_MESSAGES"
_LINES = r'((?:".*"\n?)+)'
ENTRY = re.compile(
    rf"^msgid {_LINES}(?:msgid_plural {_LINES}msgstr\[0\] {_LINES}msgstr\[1\] {_LINES}|msgstr {_LINES})", re.M
)
CALLS = frozenset({"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"})
CALL = re.compile(r"""\b(?:n?gettext|_)\((u?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))""")
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


def test_the_help_pages_are_german_too(db: None) -> None:
    page = Client(headers={"accept-language": "de"}).get("/help/").content.decode()
    assert '<html lang="de"' in page
    assert "Was möchten Sie wissen?" in page
    assert ">Hier ist noch nichts<" in page


def test_the_catalogue_has_every_text_of_the_source_and_no_other() -> None:
    """Where this fails: ``manage.py makemessages -l de --no-location --no-obsolete``, translate what is empty or fuzzy,
    ``manage.py compilemessages``."""
    texts, known = source_texts(), {key[0] for key in catalogue()}
    assert sorted(texts - known) == []
    assert sorted(known - texts) == []


def test_the_catalogue_is_whole_and_compiled() -> None:
    content = (CATALOGUE / "django.po").read_text()
    assert "fuzzy" not in content
    assert "#~" not in content  # a text that is no more
    texts = catalogue()
    assert [key for key, values in texts.items() if not all(values)] == []
    with (CATALOGUE / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    assert {key: _compiled(compiled, key) for key in texts} == texts


def test_translations_keep_the_placeholders() -> None:
    for key, values in catalogue().items():
        for text, value in zip(key, values, strict=True):
            assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(value)), key


def catalogue() -> dict[Texts, Texts]:
    """Each text with its translation; both for one and for many, where it counts something."""
    found = [tuple(map(_joined, parts)) for parts in ENTRY.findall((CATALOGUE / "django.po").read_text())]
    texts = {(one, many) if many else (one,): (of_one, of_many) if many else (text,)
             for one, many, of_one, of_many, text in found}  # fmt: skip
    del texts[("",)]  # the header
    return texts


def _joined(lines: str) -> str:
    text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', lines))
    return text.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")


def _compiled(translations: gettext.GNUTranslations, key: Texts) -> Texts:
    if len(key) == 1:
        return (translations.gettext(*key),)
    return (translations.ngettext(*key, 1), translations.ngettext(*key, 2))


def source_texts() -> set[str]:
    """The literal texts that Python and the templates give to gettext, of a plural the one for one. None has a
    context."""
    texts: set[str] = set()
    for root in (*(path.parent for path in BASE.glob("*/__init__.py")), BASE / "templates"):
        for path in root.rglob("*.py"):
            texts.update(_texts_of_python(path.read_text()))
        for path in (*root.rglob("*.html"), *root.rglob("*.txt")):
            texts.update(_texts_of_template(path.read_text()))
    return texts


def _texts_of_python(code: str) -> Iterator[str]:
    if "translation" not in code:
        return
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Call(
                func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(text)), *_others]
            ) if name in CALLS:
                yield text


def _texts_of_template(template: str) -> Iterator[str]:
    """By way of the pseudo-code that Django makes of a template for ``makemessages``."""
    return map(ast.literal_eval, CALL.findall(templatize(template)))
