"""The demo personas, and the FAQs that they answer from: written with all that the product expects of them.

Staff alone see them, so that no real persona answers anybody from a made-up FAQ.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from accounts.audience import Visibility
from analytics.demo.ids import fixed
from analytics.demo.quality import PERSONAS, PersonaPlan
from analytics.demo.talks import version_of
from analytics.demo.texts import ANSWERED, Topic, texts
from analytics.period import start_of
from faqs.content import clean_phrasings, content_of
from faqs.content import fill as fill_faq
from faqs.models import FAQ, Category, FAQVersion, Phrasing
from faqs.phrasings import as_rows, refresh_search
from personas.models import Persona, PersonaVersion
from personas.services import fill

#: One of the personas, from 0, and one of its versions.
Versions = Mapping[tuple[str, int], PersonaVersion]
#: A topic's number, and a language.
FAQs = Mapping[tuple[int, str], FAQ]

ROOT = "demo-library"
CATEGORIES = {"cards": "Cards", "lending": "Lending", "digital": "Digital", "visit": "Your visit"}
CATEGORY_IDS = tuple(fixed(f"category:{slug}") for slug in CATEGORIES)
ROOT_ID = fixed("category")
LAST = 900  # personas and categories of the demo stand behind all others


def persona_ids() -> list[UUID]:
    return [fixed(f"persona:{plan.slug}") for plan in PERSONAS]


def faq_ids() -> list[UUID]:
    return [_faq_id(topic, language) for topic in texts().topics for language in ANSWERED]


def taken_slugs() -> list[str]:
    """Slugs of the demo that something else has."""
    categories = Category.objects.filter(slug__in=[ROOT, *map(_slug, CATEGORIES)])
    personas = Persona.objects.filter(slug__in=[plan.slug for plan in PERSONAS])
    return [
        *categories.exclude(pk__in=[ROOT_ID, *CATEGORY_IDS]).values_list("slug", flat=True),
        *personas.exclude(pk__in=persona_ids()).values_list("slug", flat=True),
    ]


def _slug(category: str) -> str:
    return f"demo-{category}"


# --- FAQs


def write_faqs(now: datetime) -> FAQs:
    """Categories and FAQs, which are as old as their topics say. ``bump_revision`` is the caller's."""
    root = Category.objects.create(id=ROOT_ID, slug=ROOT, name="Library (demo)", position=LAST)
    categories = {
        slug: Category(
            id=fixed(f"category:{slug}"), slug=_slug(slug), name=f"{name} (demo)", parent=root, position=place
        )
        for place, (slug, name) in enumerate(CATEGORIES.items())
    }
    Category.objects.bulk_create(categories.values())
    faqs, wordings = {}, {}
    for topic in texts().topics:
        for language in ANSWERED:
            faq = _faq(topic, language, categories[topic.category], now)
            faqs[topic.number, language] = faq
            wordings[faq.pk] = clean_phrasings(topic.asked[language][1:], question=faq.question)
    FAQ.objects.bulk_create(faqs.values())
    Phrasing.objects.bulk_create(row for faq in faqs.values() for row in as_rows(faq, wordings[faq.pk]))
    FAQVersion.objects.bulk_create(
        FAQVersion(
            faq=faq, number=1, content=content_of(faq, wordings[faq.pk]), note="Demo data", created_at=faq.created_at
        )
        for faq in faqs.values()
    )
    refresh_search(faqs.values())
    return faqs


def _faq_id(topic: Topic, language: str) -> UUID:
    return fixed(f"faq:{topic.number}:{language}")


def _faq(topic: Topic, language: str, category: Category, now: datetime) -> FAQ:
    at = now - timedelta(days=topic.age_days)
    faq = FAQ(
        id=_faq_id(topic, language), translation_group=fixed(f"faq:{topic.number}"), status=topic.state,
        created_at=at - timedelta(days=1), updated_at=at, published_at=None if topic.state == "draft" else at,
    )  # fmt: skip
    content: dict[str, Any] = {
        "question": topic.asked[language][0],
        "answer": topic.answers[language],
        "language": language,
        "category": category,
        "tags": ["demo"],
        "visibility": Visibility.STAFF,
    }
    return fill_faq(faq, content)


# --- Personas


def write_personas(days: Sequence[date], zone: ZoneInfo) -> Versions:
    """Each with its versions, published on the days from which on they answered."""
    found = {}
    for place, plan in enumerate(PERSONAS):
        persona = Persona.objects.create(id=fixed(f"persona:{plan.slug}"), slug=plan.slug, position=LAST + place)
        for number in range(len(plan.versions)):
            first = next(day for day in days if version_of(plan, day, days) >= number)
            version = _publish(persona, plan, number, start_of(first, zone))
            found[plan.slug, number] = version
        persona.created_at, persona.published = start_of(days[0], zone), version
        persona.save(update_fields=["created_at", "published"])
    return found


def _publish(persona: Persona, plan: PersonaPlan, number: int, at: datetime) -> PersonaVersion:
    """As the services publish, but in the past, and without an event in the trail: what is made up is removed again."""
    content: dict[str, Any] = {
        "name": plan.name,
        "description": plan.description,
        "emoji": plan.emoji,
        "colour": plan.colour,
        "system_prompt": plan.prompts[number],
        "visibility": Visibility.STAFF,
        "faq_mode": plan.faq_mode,
        "faq_categories": [_slug(category) for category in plan.categories],
        "unknown_offers": list(plan.offers),
    }
    draft = fill(PersonaVersion(id=fixed(f"version:{plan.slug}:{number}"), persona=persona), content)
    draft.save()
    # Its time of creation is set by the model itself, and nothing can be set once it is published.
    PersonaVersion.objects.filter(pk=draft.pk).update(created_at=at, number=number + 1, published_at=at)
    draft.refresh_from_db()
    return draft
