"""The endpoint's part in a reply while it streams: what has been shown is judged at intervals, beside the stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from django.conf import settings

from chatbot_project.lib.llm.client import LLMClient
from conversations.replies.live import LiveReply
from conversations.safety.checks import endpoint_findings
from conversations.safety.rules import OUTPUT

#: What was judged before goes along, so that words which became harmful by what followed are seen together.
OVERLAP = 1_000


class Watch:
    """Judges a reply each MODERATION_EVERY characters, one judgement at a time; what came meanwhile is in the next.

    An endpoint that is away is passed over: the whole is judged at the end, and that decides.
    """

    def __init__(self, reply: LiveReply, llm: LLMClient) -> None:
        self._reply, self._llm = reply, llm
        self._judged = len(reply.text)
        self._judging: asyncio.Task[None] | None = None
        self.deadline = asyncio.timeout(None)

    def heard(self) -> None:
        """The reply has more text: have it judged where that is due. Waits for nothing."""
        every = settings.MODERATION_EVERY
        if every and self._judging is None and len(self._reply.text) - self._judged >= every:
            self._judging = asyncio.create_task(self._judge(len(self._reply.text)))

    async def _judge(self, upto: int) -> None:
        text = self._reply.text[max(0, self._judged - OVERLAP) : upto]
        found = await endpoint_findings(self._reply, self._llm, text, self._reply.reply, OUTPUT)
        self._judged, self._judging = upto, None
        self._reply.findings += [finding for finding in found if finding.source == "endpoint"]
        if self._reply.is_condemned:
            self.deadline.reschedule(asyncio.get_running_loop().time())

    async def close(self) -> None:
        """End a judgement that is under way: what it was of is part of the whole."""
        if self._judging is not None:
            self._judging.cancel()
            await asyncio.gather(self._judging, return_exceptions=True)


@asynccontextmanager
async def watched(reply: LiveReply, llm: LLMClient) -> AsyncIterator[Watch | None]:
    """Within it ``reply`` is read from its model; ``None`` where no endpoint is configured. As soon as the endpoint
    condemns what was shown, the body is left, wherever it waits."""
    if not settings.MODERATION_MODEL:
        yield None
        return
    watch = Watch(reply, llm)
    try:
        async with watch.deadline:
            yield watch
    except TimeoutError:
        if not watch.deadline.expired():
            raise
    finally:
        await watch.close()
