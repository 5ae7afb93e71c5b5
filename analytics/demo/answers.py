"""How one question is answered: by what, how fast, how it ended and what its person thought of it. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from analytics.demo.quality import BACKUP, PersonaPlan, Quality
from analytics.demo.texts import ANSWERED, Phrases, Topic, Unanswered

FAILURES = {"llm_timeout": 0.5, "llm_unavailable": 0.3, "llm_rate_limited": 0.15, "llm_malformed": 0.05}
CUTS = {"llm_cut": 0.7, "worker_lost": 0.3}
BLOCKED = "content_blocked"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, and where: one ``topic`` at most, or what has no answer. ``turn`` counts from 0."""

    plan: PersonaPlan
    quality: Quality
    language: str
    phrases: Phrases
    topic: Topic | None
    gap: Unanswered | None
    turn: int
    outage: bool  # the provider is away at that hour
    crowd: float  # how much waits: 1 is usual


@dataclass(slots=True)
class Answer:
    """One reply. Times are seconds: from being queued to being claimed, from there to the first token, to the end."""

    status: str = "completed"
    text: str = ""
    source: str | None = None
    model: str = ""
    error_code: str = ""
    finish_reason: str = "stop"
    waited: float = 0.0
    first_token: float | None = None
    writing: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    is_estimated: bool = False
    cited: Topic | None = None
    score: float = 0.0
    value: int = 0
    comment: str = ""
    hands_over: bool = False
    is_flagged: bool = False


def draw_answer(asked: Asked, chance: Random) -> Answer:
    """One reply to it."""
    answer = Answer(waited=min(45.0, chance.lognormvariate(math.log(0.03), 1.1) * asked.crowd))
    asks_faq = bool(asked.plan.categories) and (asked.topic is not None or asked.gap is not None)
    luck = chance.random()
    if asks_faq and (asked.gap is not None or luck < asked.quality.unknown):
        _do_not_know(answer, asked, chance)
    elif asks_faq and _is_answered(asked) and luck < asked.quality.unknown + asked.quality.direct:
        _give_approved(answer, asked, "faq", chance)
    else:
        _ask_model(answer, asked, asks_faq, chance)
    _judge(answer, asked, chance)
    return answer


def _is_answered(asked: Asked) -> bool:
    topic = asked.topic
    return asked.language in ANSWERED and topic is not None and topic.state == "published"


def _do_not_know(answer: Answer, asked: Asked, chance: Random) -> None:
    answer.source, answer.text = "unknown", asked.phrases.unknown
    answer.first_token = chance.lognormvariate(math.log(0.05), 0.4)
    answer.hands_over = "handover" in asked.plan.offers and chance.random() < 0.14


def _give_approved(answer: Answer, asked: Asked, source: str, chance: Random) -> None:
    assert asked.topic is not None
    answer.source, answer.text, answer.cited = source, asked.topic.answers[asked.language], asked.topic
    answer.score = round(chance.uniform(0.9, 0.995), 4)
    answer.first_token = chance.lognormvariate(math.log(0.06), 0.4)


def _ask_model(answer: Answer, asked: Asked, asks_faq: bool, chance: Random) -> None:
    quality = asked.quality
    away = asked.outage and chance.random() < 0.6
    if away and asks_faq and _is_answered(asked):
        answer.error_code = "llm_unavailable"
        return _give_approved(answer, asked, "faq_offline", chance)
    if away or chance.random() < quality.failed:
        answer.status, answer.finish_reason = "failed", ""
        answer.error_code = "llm_unavailable" if away else _one_of(FAILURES, chance)
        answer.writing = 30.0 if answer.error_code == "llm_timeout" else chance.uniform(0.2, 3.0)
        return None
    fell_back = chance.random() < (0.3 if asked.outage else 0.02)
    answer.model = BACKUP if fell_back else quality.model
    tokens = max(12, int(chance.lognormvariate(math.log(quality.length), 0.6)))
    answer.first_token = chance.lognormvariate(math.log(quality.first_token), 0.5) * (1 + 0.15 * (asked.crowd - 1))
    answer.writing = tokens / (quality.speed * chance.lognormvariate(0.0, 0.25))
    answer.text = _said(asked, tokens, chance)
    if asks_faq:
        answer.source = "model"
        if _is_answered(asked):
            answer.cited, answer.score = asked.topic, round(chance.uniform(0.45, 0.97), 4)
            answer.text += " [1]"
    _end(answer, tokens, chance)
    answer.prompt_tokens = int(180 + 240 * asks_faq + asked.turn * 0.8 * quality.length + chance.uniform(0, 60))
    answer.completion_tokens = tokens
    answer.is_estimated = fell_back or answer.status != "completed"
    return None


def _end(answer: Answer, tokens: int, chance: Random) -> None:
    """Most are written to their end; some are stopped, cut, blocked, or run into their limit."""
    luck = chance.random()
    if luck < 0.022 + min(0.03, tokens / 30_000):
        answer.status, answer.finish_reason = "stopped", "stop_requested"
    elif luck > 0.993:
        answer.status, answer.finish_reason, answer.error_code = "interrupted", "", _one_of(CUTS, chance)
    elif luck > 0.991:
        answer.status, answer.finish_reason, answer.error_code = "failed", "", BLOCKED
        answer.text, answer.source, answer.cited, answer.is_flagged = "", None, None, True
    elif luck > 0.976:
        answer.finish_reason = "length"
    if answer.status in {"stopped", "interrupted"}:
        answer.text, answer.writing = answer.text[: max(20, len(answer.text) // 2)], answer.writing / 2
        answer.cited = None


def _said(asked: Asked, tokens: int, chance: Random) -> str:
    sentences: Sequence[str] = asked.phrases.replies
    wanted = max(1, min(len(sentences), tokens // 30))
    said = chance.sample(list(sentences), wanted)
    if asked.topic is not None and asked.language in ANSWERED:
        said.insert(min(1, len(said)), asked.topic.answers[asked.language])
    return " ".join(said)


def _judge(answer: Answer, asked: Asked, chance: Random) -> None:
    """A thumb below some replies, and a word with some thumbs. Who is not helped says so more often."""
    if answer.status != "completed":
        return
    good = {"unknown": 0.12, "faq": 0.93, "faq_offline": 0.8}.get(answer.source or "", asked.quality.helpful)
    is_good = chance.random() < good
    if chance.random() > (0.08 if is_good else 0.12):
        return
    answer.value = 1 if is_good else -1
    if chance.random() < (0.1 if is_good else 0.3):
        answer.comment = chance.choice(asked.phrases.helpful if is_good else asked.phrases.not_helpful)


def _one_of(weights: dict[str, float], chance: Random) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]
