"""How well the versions of the demo personas answer: what there is to be seen before and after a publish. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

SMALL, LARGE, BACKUP = "demo/small-8b", "demo/large-70b", "backup/medium-24b"


@dataclass(frozen=True, slots=True)
class Quality:
    """Shares are from 0 to 1; ``first_token`` is a median in seconds, ``speed`` in tokens a second."""

    model: str
    direct: float  # of what is asked of the FAQ: answered as it stands
    unknown: float
    failed: float
    helpful: float  # of thumbs
    first_token: float
    speed: float
    length: float  # a median, in tokens


@dataclass(frozen=True, slots=True)
class PersonaPlan:
    """A demo persona. ``versions`` share the days evenly; a persona without ``categories`` does not ask the FAQ."""

    slug: str
    name: str
    emoji: str
    colour: str
    description: str
    prompts: Sequence[str]
    categories: Sequence[str]
    faq_mode: str
    offers: Sequence[str]
    share: float
    versions: Sequence[Quality]


PERSONAS = (
    PersonaPlan(
        slug="demo-library-desk",
        name="Library desk (demo)",
        emoji="📚",
        colour="teal",
        description="Demo data: answers what readers ask at the desk.",
        prompts=(
            "You are the desk of a public library. Answer what readers ask.",
            "You are the desk of a public library. Answer from the approved answers, in short steps, in the language "
            "of the question. Say so where you do not know.",
        ),
        categories=("cards", "lending", "digital", "visit"),
        faq_mode="direct",
        offers=("rephrase", "handover"),
        share=0.6,
        versions=(
            Quality(SMALL, 0.24, 0.17, 0.035, 0.64, 1.5, 26.0, 150.0),
            Quality(LARGE, 0.38, 0.08, 0.012, 0.86, 0.8, 48.0, 110.0),
        ),
    ),
    PersonaPlan(
        slug="demo-digital-help",
        name="Digital help (demo)",
        emoji="💻",
        colour="blue",
        description="Demo data: helps with e-books, passwords and printers.",
        prompts=("You help readers of a library with e-books, passwords, Wi-Fi and printers.",),
        categories=("digital",),
        faq_mode="context",
        offers=("rephrase", "handover"),
        share=0.25,
        versions=(Quality(SMALL, 0.0, 0.11, 0.022, 0.75, 1.2, 30.0, 170.0),),
    ),
    PersonaPlan(
        slug="demo-study-coach",
        name="Study coach (demo)",
        emoji="🎓",
        colour="violet",
        description="Demo data: helps pupils and students to learn.",
        prompts=("You are a patient study coach. Explain step by step and ask back.",),
        categories=(),
        faq_mode="off",
        offers=(),
        share=0.15,
        versions=(Quality(LARGE, 0.0, 0.0, 0.015, 0.82, 0.9, 44.0, 260.0),),
    ),
)
