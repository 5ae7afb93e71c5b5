"""The FAQs of a new installation: they load, they are found, and they do not pretend to know the rest."""

import json
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from django.utils.html import strip_tags

from chatbot_project.lib.markdown import render
from faqs.indexing import fill_index
from faqs.matching import train_and_store
from faqs.models import FAQ, Category
from faqs.retrieval import find_answer

pytestmark = pytest.mark.django_db(transaction=True)
FILE = Path(settings.BASE_DIR, "faqs/starters.json")
SUGGESTIONS = next(
    persona["suggestions"]
    for persona in yaml.safe_load(Path(settings.BASE_DIR, "personas/starters.yaml").read_text())["personas"]
    if persona["slug"] == "support"
)


@pytest.fixture
def starters(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("import_faqs", str(FILE), "--publish", "--create-categories")
    assert " 0 refused" in capsys.readouterr().out
    fill_index()
    assert train_and_store() is not None


def test_each_is_published_for_everyone_in_english_and_german(starters: None) -> None:
    faqs = FAQ.objects.in_force().filter(visibility="guests")
    assert faqs.count() == FAQ.objects.count() == len(json.loads(FILE.read_text())["faqs"])
    groups: dict[object, set[str]] = {}
    for group, language in faqs.values_list("translation_group", "language"):
        groups.setdefault(group, set()).add(language)
    assert 8 <= len(groups) <= 12
    assert set(map(frozenset, groups.values())) == {frozenset({"en", "de"})}
    assert not faqs.filter(category=None).exists()
    assert list(Category.objects.values_list("slug", flat=True)) == ["about-nono", "using-nono", "running-nono"]


def test_their_answers_hold_no_markdown_that_is_not_rendered() -> None:
    for entry in json.loads(FILE.read_text())["faqs"]:
        shown = strip_tags(render(entry["answer"]))
        assert "](" not in shown, entry["question"]
        assert "**" not in shown, entry["question"]


def test_loading_them_twice_changes_nothing(starters: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("import_faqs", str(FILE), "--publish", "--create-categories")
    assert capsys.readouterr().out.startswith("0 created, 0 changed")


def test_what_the_support_persona_suggests_is_answered_without_a_model(starters: None) -> None:
    for question in SUGGESTIONS:
        found = find_answer(question, visibilities=["guests"])
        assert found.best is not None
        assert found.best.question == question
        assert found.best.confidence >= settings.FAQ_DIRECT_CONFIDENCE


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("can I speak to a real person please", "How do I talk to a person?"),
        ("how to change the model", "How do I use another model?"),
        ("forgot my pasword", "I can't sign in. What should I check first?"),
        ("Can anyone read my messages?", "Who can read what I write?"),
        ("Wie ändere ich das Modell?", "Wie benutze ich ein anderes Modell?"),
        ("ich will meine chats löschen", "Wie lösche ich eine Unterhaltung?"),
    ],
)
def test_they_are_found_in_other_words(starters: None, asked: str, answered: str) -> None:
    found = find_answer(asked, visibilities=["guests"])
    assert found.best is not None
    assert found.best.question == answered
    assert not found.is_below_floor


@pytest.mark.parametrize(
    "asked",
    [
        "What is the capital of France?",
        "Write a python function that reverses a list",
        "Which volcano on Iceland erupted last winter?",
        "Comment fonctionne la photosynthèse?",
    ],
)
def test_what_they_do_not_answer_is_below_the_floor(starters: None, asked: str) -> None:
    assert find_answer(asked, visibilities=["guests"]).is_below_floor
