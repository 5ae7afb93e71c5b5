"""What a worker counts of its replies, once or twice in the life of each and never per token."""

from collections.abc import Callable
from functools import partial
from itertools import product
from time import monotonic

from django.conf import settings
from django.utils import timezone

from chatbot_project.lib.llm.types import Usage
from chatbot_project.lib.metrics import names as metrics
from conversations.replies.live import LiveReply
from conversations.replies.queue import Ending, slots_of
from conversations.safety.rules import INPUT, OUTPUT
from personas.knowledge import Verdict

_BREAKER = {"closed": 0, "half_open": 1, "open": 2}
OTHER = "other"


def watch(breaker_state: Callable[[str], str]) -> None:
    """Tell of providers' breakers from now on, and begin what is counted at 0: a first failure then shows as a rise."""
    for name in settings.LLM_PROVIDERS:
        metrics.MODEL_BREAKER.labels(name).set_function(partial(_breaker, breaker_state, name))
        metrics.REPLY_SLOTS.labels(name).set(slots_of(name))
        metrics.REPLIES_STREAMING.labels(name).set(0)
        for kind in ("prompt", "completion"):
            metrics.TOKENS.labels(name, kind)
    for outcome in ("completed", "stopped", "interrupted", "failed"):
        metrics.REPLIES.labels(outcome)
    for outcome in ("queued", "interrupted", "failed"):
        metrics.ORPHANS.labels(outcome)
    metrics.ERRORS.labels("reply", "internal_error")
    for stage, action in product((INPUT, OUTPUT), ("flag", "block")):
        metrics.MODERATION.labels(stage, action, "unavailable")


def _breaker(state: Callable[[str], str], provider: str) -> float:
    return _BREAKER[state(provider)]


def taken_up(reply: LiveReply) -> None:
    metrics.REPLIES_STREAMING.labels(_known(reply.provider)).inc()
    if reply.waited is not None:
        metrics.REPLY_WAIT.observe(reply.waited)


def let_go(reply: LiveReply) -> None:
    metrics.REPLIES_STREAMING.labels(_known(reply.provider)).dec()


def ended(reply: LiveReply, ending: Ending) -> None:
    """``reply`` ended so, and that is stored."""
    metrics.REPLIES.labels(ending.status).inc()
    if ending.code:
        metrics.ERRORS.labels("reply", ending.code).inc()
    for finding in reply.findings:
        stage = OUTPUT if finding.message == reply.reply else INPUT  # a rule may be for both
        metrics.MODERATION.labels(stage, finding.rule.action, finding.source).inc()
    metrics.REPLY_SECONDS.observe((timezone.now() - reply.taken_at).total_seconds())
    if reply.first_token_at is not None and reply.waited is not None:
        metrics.FIRST_TOKEN.observe(reply.waited + (reply.first_token_at - reply.taken_at).total_seconds())


def orphan_settled(status: str | None) -> None:
    """A reply whose worker is gone was settled; ``None``: somebody else was quicker."""
    if status is None:
        return
    metrics.ORPHANS.labels(status).inc()
    if status != "queued":
        metrics.REPLIES.labels(status).inc()
        metrics.ERRORS.labels("reply", "worker_lost").inc()


def consulted(verdict: Verdict) -> None:
    metrics.FAQ_VERDICTS.labels(verdict.value).inc()


def began(model: str, asked_at: float | None) -> None:
    """``model`` (``provider/name``), which was asked at ``asked_at`` by ``time.monotonic``, has sent its first text."""
    if asked_at is None:
        return
    metrics.MODEL_FIRST_TOKEN.labels(_known(model.partition("/")[0])).observe(monotonic() - asked_at)


def used(model: str, usage: Usage) -> None:
    """What a reply took, whether or not it was completed."""
    provider = _known(model.partition("/")[0])
    metrics.TOKENS.labels(provider, "prompt").inc(usage.prompt_tokens)
    metrics.TOKENS.labels(provider, "completion").inc(usage.completion_tokens)


def _known(provider: str) -> str:
    """A persona may name a provider that is not configured, and there is no end of names."""
    return provider if provider in settings.LLM_PROVIDERS else OTHER
