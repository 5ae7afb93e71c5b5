"""Demo people as rows, and what they did beside talking: consents, requests of theirs, gaps, opinions on FAQs."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from accounts.models import Consent, DataRequest, Purpose, User
from accounts.privacy.policies import policy_of
from analytics.demo.ids import fixed, uuid7_at
from analytics.demo.knowledge import FAQs
from analytics.demo.people import DOMAIN, Person
from analytics.demo.talks import Talk
from analytics.demo.texts import LANGUAGES, Unanswered, texts
from faqs.models import FAQ, FAQFeedback, Gap, GapQuestion

#: The FAQs by which editors dealt with a matter: their first English questions.
DEALT_WITH = {"answered": "Is there a 3D printer?", "drafted": "Can I donate old books?"}


def gap_ids() -> list[UUID]:
    return [_gap_id(each, language) for each in texts().unanswered for language in LANGUAGES]


def _gap_id(gap: Unanswered, language: str) -> UUID:
    return fixed(f"gap:{gap.number}:{language}")


def write_people(talks: Iterable[Talk], chance: Random) -> dict[str, User]:
    """Those who talked, by username. Nobody can sign in as one of them."""
    spans: dict[str, tuple[Person, datetime, datetime]] = {}
    for talk in talks:
        _person, first, last = spans.get(talk.person.username, (None, talk.began_at, talk.last_at))
        spans[talk.person.username] = (talk.person, first, max(last, talk.last_at))
    found = {}
    for person, first, last in spans.values():
        at = first - timedelta(minutes=chance.uniform(2, 30))
        user = User(
            id=uuid7_at(at, chance), email=person.email, username=person.username, language=person.language,
            created_at=at, email_verified_at=at, last_seen_at=last,
        )  # fmt: skip
        user.set_unusable_password()
        found[person.username] = user
    User.objects.bulk_create(found.values(), batch_size=1000)
    return found


def write_consents(people: Sequence[tuple[Person, User]]) -> int:
    """What they said to the policy in force when they signed up; how many did."""
    policy = policy_of(Purpose.IMPROVEMENT)
    rows = []
    for person, user in people:
        if person.consents is None:
            continue
        text = policy.text(person.language)
        rows.append(
            Consent(
                user=user, purpose=Purpose.IMPROVEMENT, granted=person.consents, version=policy.version,
                text_hash=text.digest, language=text.language, source=Consent.Source.SIGN_UP, at=user.created_at,
            )
        )  # fmt: skip
    return len(Consent.objects.bulk_create(rows, batch_size=1000))


def write_requests(people: Iterable[User], chance: Random) -> int:
    """Copies that some have fetched, and erasures that few asked for and thought better of."""
    kinds, states = DataRequest.Kind, DataRequest.State
    rows = []
    for user in people:
        for kind, state, share in (
            (kinds.EXPORT, states.USED, 0.04),
            (kinds.EXPORT, states.EXPIRED, 0.01),
            (kinds.ERASURE, states.CANCELLED, 0.006),
        ):
            if chance.random() < share:
                at = user.last_seen_at
                rows.append(
                    DataRequest(
                        id=uuid7_at(at, chance), user=user, kind=kind, state=state, created_at=at, due_at=at,
                        finished_at=at,
                    )
                )  # fmt: skip
    return len(DataRequest.objects.bulk_create(rows))


def write_faq_feedback(people: Iterable[User], faqs: FAQs, chance: Random) -> int:
    """What some found of an FAQ that they read in the help pages."""
    rows = []
    for user in people:
        read = [
            faq for (number, language), faq in faqs.items()
            if language == user.language and faq.status == FAQ.Status.PUBLISHED and texts().topics[number].weight
        ]  # fmt: skip
        if not read or chance.random() > 0.3:
            continue
        faq = chance.choice(read)
        rows.append(
            FAQFeedback(
                id=uuid7_at(user.last_seen_at, chance), faq=faq, user=user, version=1,
                helpful=chance.random() < 0.78, created_at=user.last_seen_at,
            )
        )  # fmt: skip
    return len(FAQFeedback.objects.bulk_create(rows))


def write_gaps(talks: Iterable[Talk], people: dict[str, User], faqs: FAQs, chance: Random) -> int:
    """What was not known, of those who agreed to its being kept; how many questions."""
    gaps: dict[UUID, Gap] = {}
    rows = []
    for talk in talks:
        if not talk.person.consents:
            continue
        for turn in talk.turns:
            reply, at, answer = turn.replies[0]
            if turn.gap is None or answer.source != "unknown":
                continue
            gap = gaps.setdefault(
                _gap_id(turn.gap, talk.person.language), _gap(turn.gap, talk.person.language, at, faqs)
            )
            gap.count, gap.last_seen_at = gap.count + 1, at
            rows.append(
                GapQuestion(
                    id=uuid7_at(at, chance), gap=gap, text=turn.text, source=GapQuestion.Source.BELOW_FLOOR,
                    source_id=reply, person=people[talk.person.username], created_at=at,
                )
            )  # fmt: skip
    Gap.objects.bulk_create(gaps.values())
    return len(GapQuestion.objects.bulk_create(rows, batch_size=1000))


def _gap(unanswered: Unanswered, language: str, at: datetime, faqs: FAQs) -> Gap:
    question = DEALT_WITH.get(unanswered.status)
    topic = next((each.number for each in texts().topics if each.asked["en"][0] == question), None)
    return Gap(
        id=_gap_id(unanswered, language),
        question=unanswered.asked[language][0],
        language=language,
        status=unanswered.status,
        faq=None if topic is None else faqs.get((topic, language), faqs[topic, "en"]),
        reason="Not a matter of the library." if unanswered.status == Gap.Status.DISMISSED else "",
        first_seen_at=at,
        last_seen_at=at,
    )


def demo_people() -> list[UUID]:
    """Ids of all that there are, by the address that nobody else can have."""
    return list(User.objects.filter(email__endswith=f"@{DOMAIN}").values_list("pk", flat=True))
