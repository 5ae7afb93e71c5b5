"""Counting a week's conversations by mood and topic: of whom, of how many, and that nothing leaves the machine."""

import asyncio
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from accounts import restriction
from accounts.models import Consent, Purpose, User
from accounts.privacy import consents, registry
from accounts.privacy.erasing import erase_everywhere, erase_row
from accounts.privacy.policies import policy_of
from accounts.tests.factories import make_user
from analytics import tasks
from analytics.moods import counting
from analytics.moods.counting import count_week, counted_conversations
from analytics.moods.models import Mood, MoodWeek
from analytics.moods.sentiment import Sentiment
from analytics.period import Period
from analytics.suppression import FEWEST_PEOPLE
from chatbot_project.lib.llm.providers import Provider
from conversations.models import Citation, Conversation
from conversations.tests.factories import ask, end, make_persona
from faqs.models import Category
from faqs.tests.factories import make_category, make_faq, make_index
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 18, 9, tzinfo=UTC)  # a Wednesday
WEEK = Period(datetime(2026, 3, 9).date(), datetime(2026, 3, 15).date(), ZoneInfo("UTC"))
BEFORE = datetime(2026, 3, 1, tzinfo=UTC)
AT = datetime(2026, 3, 11, 12, tzinfo=UTC)
ANGRY, HAPPY, PLAIN = "This is awful and useless.", "Perfect, thank you!", "Where is the form?"


@pytest.fixture(autouse=True)
def _on(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CONVERSATION_INSIGHTS = True
    monkeypatch.setattr(timezone, "now", lambda: NOW)


@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona()


def agree(person: User, *, granted: bool = True, at: datetime = BEFORE) -> User:
    version = policy_of(Purpose.INSIGHTS).version
    consents.decide(
        user=person, purpose=Purpose.INSIGHTS, granted=granted, version=version, source=Consent.Source.PAGE, at=at
    )
    return person


def talk(person: User, persona: Persona, *texts: str, at: datetime = AT, language: str = "en") -> None:
    """A conversation that began ``at``, of a question for each of ``texts``."""
    begun = ask(person, texts[0], persona=persona)
    end(begun.reply)
    for text in texts[1:]:
        end(ask(person, text, conversation_id=begun.conversation.pk).reply)
    Conversation.objects.filter(pk=begun.conversation.pk).update(created_at=at, updated_at=at, language=language)


def five(persona: Persona, *texts: str, **fields: Any) -> list[User]:
    people = [agree(make_user()) for _ in range(FEWEST_PEOPLE)]
    for person in people:
        talk(person, persona, *texts, **fields)
    return people


def counted() -> dict[tuple[Any, Any, str], int]:
    count_week(WEEK)
    return {(mood.persona, mood.topic, mood.sentiment): mood.conversations for mood in Mood.objects.all()}


def test_people_who_agreed_are_counted_by_how_their_conversations_sound(persona: Persona) -> None:
    five(persona, PLAIN, ANGRY)
    five(persona, HAPPY)
    five(persona, PLAIN)
    five(persona, "Où est le formulaire?", language="fr")
    assert counted() == {(persona.pk, None, sentiment): 5 for sentiment in Sentiment.values}
    week = MoodWeek.objects.get()
    assert (week.start, week.time_zone, week.is_sample) == (datetime(2026, 3, 9, tzinfo=UTC), "UTC", False)


def test_of_four_people_nothing_is_kept_however_much_they_talk(persona: Persona) -> None:
    people = five(persona, ANGRY)
    agree(people[0], granted=False, at=NOW)
    for _ in range(3):
        talk(people[1], persona, ANGRY)
    assert counted() == {}


def test_off_nothing_is_counted_and_nobody_is_asked(persona: Persona, owner: User, settings: Any) -> None:
    five(persona, ANGRY)
    settings.CONVERSATION_INSIGHTS = False
    tasks.count_moods()
    assert not MoodWeek.objects.exists()
    assert Purpose.INSIGHTS not in [each.policy.purpose for each in consents.open_questions(owner)]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda person: agree(person, granted=False, at=NOW), id="withdrew after the week"),
        pytest.param(lambda person: restriction.restrict(actor=person, user=person), id="paused"),
        pytest.param(lambda person: User.objects.filter(pk=person.pk).update(is_active=False), id="closed"),
        pytest.param(lambda person: Conversation.objects.filter(owner=person).update(deleted_at=NOW), id="deleted"),
        pytest.param(
            lambda person: Conversation.objects.filter(owner=person).update(expires_at=NOW + timedelta(days=36_500)),
            id="asked in passing",
        ),
        pytest.param(
            lambda person: Conversation.objects.filter(owner=person).update(created_at=AT - timedelta(days=4)),
            id="begun before the week",
        ),
        pytest.param(lambda person: Conversation.objects.filter(owner=person).delete(), id="gone"),
    ],
)
def test_whoever_is_not_to_be_counted_is_not(persona: Persona, spoil: Callable[[User], Any]) -> None:
    people = five(persona, ANGRY)
    spoil(people[0])
    assert people[0].pk not in counted_conversations(WEEK).values_list("owner", flat=True)
    assert counted() == {}


def test_what_was_said_before_the_consent_is_not_counted(persona: Persona) -> None:
    for _ in range(FEWEST_PEOPLE):
        talk(agree(make_user(), at=AT + timedelta(hours=1)), persona, ANGRY)
    assert counted() == {}


def test_who_never_agreed_is_not_counted(persona: Persona) -> None:
    for _ in range(FEWEST_PEOPLE):
        talk(make_user(), persona, ANGRY)
    assert counted() == {}


def test_who_withdraws_while_it_is_counted_is_not_in_it(persona: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    people = five(persona, ANGRY)
    read = counting._cells

    def slow(ids: Any) -> Any:
        found = read(ids)
        agree(people[0], granted=False, at=NOW)
        return found

    monkeypatch.setattr(counting, "_cells", slow)
    assert counted() == {}
    assert MoodWeek.objects.exists()


def test_a_week_is_counted_once_so_that_no_two_counts_tell_of_who_left(persona: Persona) -> None:
    people = five(persona, ANGRY)
    before = counted()
    assert before == {(persona.pk, None, "negative"): 5}
    agree(people[0], granted=False, at=NOW)
    talk(agree(make_user()), persona, ANGRY)
    assert counted() == before
    assert count_week(WEEK) is None


def test_of_two_runs_at_once_one_keeps_its_numbers(persona: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    five(persona, ANGRY)
    read = counting._cells

    def overtaken(ids: Any) -> Any:
        monkeypatch.setattr(counting, "_cells", read)
        count_week(WEEK)
        return read(ids)

    monkeypatch.setattr(counting, "_cells", overtaken)
    assert counted() == {(persona.pk, None, "negative"): 5}


def test_the_task_counts_the_last_whole_week(persona: Persona) -> None:
    five(persona, ANGRY)
    five(persona, ANGRY, at=NOW - timedelta(hours=1))  # of the running week
    tasks.count_moods()
    tasks.count_moods()
    assert [mood.conversations for mood in Mood.objects.all()] == [5]


def test_of_more_conversations_than_are_looked_at_some_are_drawn(
    persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    five(persona, ANGRY)
    five(persona, ANGRY)
    monkeypatch.setattr(counting, "MOST", 7)
    monkeypatch.setattr(counting, "BATCH", 3)
    assert counted() == {(persona.pk, None, "negative"): 7}
    assert MoodWeek.objects.get().is_sample


def test_what_takes_too_long_is_a_sample(persona: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    five(persona, ANGRY)
    monkeypatch.setattr(counting, "SECONDS", -1.0)
    assert counted() == {}
    assert MoodWeek.objects.get().is_sample


def test_nothing_of_a_person_is_kept_and_erasing_one_leaves_the_numbers(persona: Persona) -> None:
    people = five(persona, ANGRY)
    before = counted()
    for _step in erase_everywhere(people[0]):
        pass
    erase_row(people[0])
    assert {(m.persona, m.topic, m.sentiment): m.conversations for m in Mood.objects.all()} == before
    kept = {field.name for model in (Mood, MoodWeek) for field in model._meta.get_fields()}
    assert kept == {
        "id", "week", "persona", "topic", "sentiment", "conversations",
        "moods", "start", "time_zone", "is_sample", "is_demo", "counted_at",
    }  # fmt: skip
    assert {Mood, MoodWeek} <= {each.model for each in registry.without_personal_data()}


# --- Topics


@pytest.fixture
def cards(db: None) -> Category:
    """Approved answers on two topics."""
    above = make_category("library", name="Library")
    cards = make_category("cards", name="Cards", parent=above)
    phrasings = ["Renew my library card", "My library card has run out", "Extend a library card"]
    make_faq("How do I renew my library card?", phrasings=phrasings, category=cards)
    other = make_category("canteen", name="Canteen")
    make_faq("When is the canteen open?", phrasings=["Opening hours of the canteen", "Canteen times"], category=other)
    make_index()
    return cards


RENEWING = "How do I renew my library card?"


def test_the_topic_is_the_category_of_the_answer_that_fits(persona: Persona, cards: Category) -> None:
    five(persona, RENEWING)
    five(persona, "Hello", "Who won the world cup in 1990?")
    assert counted() == {(persona.pk, cards.pk, "neutral"): 5, (persona.pk, None, "neutral"): 5}


def test_an_answer_that_was_drawn_on_tells_the_topic(persona: Persona, cards: Category) -> None:
    for person in five(persona, "Hello?"):
        reply = Conversation.objects.get(owner=person).messages.get(role="assistant")
        faq = cards.faqs.get()
        Citation.objects.create(message=reply, faq=faq, number=1, question=faq.question, score=0.9)
    assert counted() == {(persona.pk, cards.pk, "neutral"): 5}


def test_a_topic_of_few_is_counted_as_the_one_above(persona: Persona, cards: Category) -> None:
    people = five(persona, RENEWING)
    topic = Category.objects.get(slug="library")
    make_faq("Is the library closed on holidays?", phrasings=["Library on holidays"], category=topic)
    make_index()
    Conversation.objects.filter(owner__in=people[:2]).delete()
    for person in people[:2]:
        talk(person, persona, "Is the library closed on holidays?")
    assert counted() == {(persona.pk, topic.pk, "neutral"): 5}


def test_nothing_is_sent_to_anybody(
    persona: Persona, settings: Any, fake_model: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an embedding model that is not in this process the topic is found by words."""
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url, "key")}
    settings.EMBEDDING_MODEL = "fake/vectors"
    topic = make_category("cards", name="Cards")
    make_faq(RENEWING, phrasings=["Renew my library card"], category=topic)
    make_index()
    assert fake_model.requests
    five(persona, RENEWING)
    before = len(fake_model.requests)
    opened: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: opened.append(address))
    monkeypatch.setattr(asyncio, "run", lambda coroutine: opened.append(coroutine))
    count_week(WEEK)
    assert (opened, len(fake_model.requests)) == ([], before)
    assert Mood.objects.get().topic == topic.pk


def test_counting_takes_a_few_queries_a_batch(persona: Persona, django_assert_max_num_queries: Any) -> None:
    five(persona, ANGRY)
    five(persona, HAPPY)
    with django_assert_max_num_queries(45):  # of which two for each question that is looked up
        count_week(WEEK)
