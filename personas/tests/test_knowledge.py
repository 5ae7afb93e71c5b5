"""What a persona makes of a question: where it looks, what it does with what it finds, how it says no."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser

from accounts.models import User
from accounts.tests.factories import make_admin, make_guest, make_user
from faqs.retrieval import find_answer
from faqs.tests.factories import make_category, make_faq, make_index
from personas import knowledge as of_personas
from personas.knowledge import Verdict, consult, question_language, unknown_text, visibilities_of
from personas.models import PersonaVersion
from personas.tests.factories import make_persona

pytestmark = pytest.mark.django_db
PIN, FEE, OFF_TOPIC = (
    "How do I reset the PIN of my card?",
    "What does a bank transfer cost?",
    "Which volcano on Iceland erupted last winter?",
)


def version(mode: str = "context", visibility: str = "guests", categories: tuple[str, ...] = ()) -> PersonaVersion:
    return PersonaVersion(system_prompt="x", faq_mode=mode, visibility=visibility, faq_categories=list(categories))


@pytest.fixture
def knowledge() -> None:
    cards = make_category("cards")
    make_faq(PIN, "In the app.", category=make_category("pins", parent=cards), phrasings=["forgot my PIN"])
    make_faq(FEE, "Nothing.", category=make_category("transfers"), phrasings=["transfer fees"])
    make_index()


@pytest.mark.parametrize(
    ("visibility", "guest", "user", "staff"),
    [("guests", 1, 1, 1), ("users", 1, 2, 2), ("staff", 1, 2, 3)],
)
def test_only_what_both_the_personas_readers_and_the_person_may_read_is_used(
    visibility: str, guest: int, user: int, staff: int
) -> None:
    order = ["guests", "users", "staff"]
    people: list[tuple[Any, int]] = [(make_guest(), guest), (AnonymousUser(), guest), (make_user(), user)]
    people += [(make_admin(), staff), (make_user(is_active=False, role="admin"), user)]
    for person, count in people:
        assert visibilities_of(version(visibility=visibility), person) == order[:count]


@pytest.mark.parametrize(
    ("mode", "question", "verdict"),
    [
        ("context", PIN, Verdict.CONTEXT), ("direct", PIN, Verdict.DIRECT), ("direct", OFF_TOPIC, Verdict.UNKNOWN),
        ("context", OFF_TOPIC, Verdict.UNKNOWN), ("direct", "Thank you!", Verdict.MODEL_ALONE),
    ],
)  # fmt: skip
def test_what_is_to_be_done(knowledge: None, mode: str, question: str, verdict: Verdict) -> None:
    consulted = consult(version(mode), question, user=make_user())
    assert consulted.verdict == verdict
    assert bool(consulted.text) == (verdict in (Verdict.DIRECT, Verdict.UNKNOWN))
    assert bool(consulted.matches) == (verdict in (Verdict.DIRECT, Verdict.CONTEXT))


def test_beside_the_embedded_model_what_probably_answers_stands_for_itself(knowledge: None, settings: Any) -> None:
    person, asked = make_user(), "how can I reset a PIN of a card"
    settings.DEFAULT_MODEL = "openai/any"
    settings.FAQ_DIRECT_CONFIDENCE = 0.999
    assert consult(version("direct"), asked, user=person).verdict == Verdict.CONTEXT
    settings.DEFAULT_MODEL = "local/smollm2"
    assert consult(version("direct"), asked, user=person).verdict == Verdict.DIRECT
    assert consult(version("context"), asked, user=person).verdict == Verdict.CONTEXT
    other = version("direct")
    other.model = "openai/any"
    assert consult(other, asked, user=person).verdict == Verdict.CONTEXT


def test_only_the_personas_categories_and_what_is_below_them_are_searched(knowledge: None) -> None:
    person = make_user()
    assert consult(version(categories=("cards",)), PIN, user=person).verdict == Verdict.CONTEXT
    assert consult(version(categories=("transfers",)), PIN, user=person).verdict == Verdict.UNKNOWN
    assert {m.question for m in consult(version(categories=("cards",)), PIN, user=person).matches} == {PIN}


def test_a_short_question_is_understood_with_the_one_before_but_never_answered_directly(knowledge: None) -> None:
    person = make_user()
    alone = consult(version("direct"), "And how long?", user=person)
    together = consult(version("direct"), "And how long?", previous=FEE, user=person)
    assert (alone.verdict, together.verdict) == (Verdict.UNKNOWN, Verdict.CONTEXT)
    assert together.matches[0].question == FEE
    # Whatever is asked next would find the FAQ of the one before, if it were looked up together with it.
    assert consult(version("direct"), OFF_TOPIC, previous=PIN, user=person).verdict == Verdict.UNKNOWN
    long = f"{OFF_TOPIC} And what does that mean for the people who live there and for their sheep?"
    assert consult(version("direct"), long, previous=FEE, user=person).verdict == Verdict.UNKNOWN


def test_without_any_faq_the_model_talks_alone() -> None:
    assert consult(version("direct"), OFF_TOPIC, user=make_user()).verdict == Verdict.MODEL_ALONE
    make_faq(PIN, visibility="staff")
    make_index()
    assert consult(version("direct"), PIN, user=make_user()).verdict == Verdict.UNKNOWN


def test_an_answer_in_another_language_than_the_question_is_never_given_as_it_stands() -> None:
    make_faq("Wie setze ich die PIN meiner Karte zurück?", "In der App.", language="de")
    make_faq("Was kostet eine Überweisung ins Ausland?", "Drei Euro.", language="de")
    make_index()
    german = consult(version("direct"), "Wie setze ich die PIN meiner Karte zurück?", user=make_user())
    assert (german.verdict, german.language) == (Verdict.DIRECT, "de")
    english = consult(version("direct"), "How do I reset the PIN of my Karte in the App?", user=make_user())
    assert english.verdict != Verdict.DIRECT
    assert english.language == "en"


def test_the_language_of_a_question() -> None:
    assert question_language("Wo finde ich denn meine Rechnung?", make_user()) == "de"
    assert question_language("Combien coûte un virement bancaire ?", make_user()) == "fr"
    assert question_language("1234", make_user(language="de")) == "de"
    assert question_language("1234", make_user()) == "en"


def test_that_nothing_is_known_is_said_in_a_language_of_the_pages() -> None:
    reader, german = User(language=""), User(language="de")
    english = unknown_text("en", reader)
    assert english.startswith("I do not know")
    assert unknown_text("fr", reader) == english
    assert unknown_text("en-gb", reader) == english
    assert unknown_text("fr", german) == unknown_text("de", reader)


@pytest.mark.parametrize(("mode", "asked"), [("off", 0), ("context", 1), ("direct", 1)])
def test_a_worker_loads_ahead_only_what_its_personas_need(
    monkeypatch: pytest.MonkeyPatch, knowledge: None, mode: str, asked: int
) -> None:
    found: list[Any] = []
    monkeypatch.setattr(of_personas, "find_answer", lambda *args, **kwargs: found.append(find_answer(*args, **kwargs)))
    persona = make_persona(faq_mode=mode)
    assert of_personas.warm_up() is bool(asked)
    assert len([one for one in found if one.vector is not None]) == asked
    persona.archived_at = persona.created_at
    persona.save()
    assert of_personas.warm_up() is False
