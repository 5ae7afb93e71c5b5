"""A reply while its worker streams it: the text so far, what of it has gone out, and the events that say so. No I/O."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from chatbot_project.lib import markdown
from chatbot_project.lib.pii import Restorer
from conversations import events
from conversations.replies.cache.asking import Asked
from conversations.replies.log import DELTA, END, NOTE, START, Entry
from conversations.replies.queue import Checkpoint, Claim, Ending
from conversations.replies.work import Work
from conversations.safety.findings import Finding
from conversations.safety.rules import OutputFilter
from personas.sources import Source


@dataclass(eq=False, slots=True)
class LiveReply:
    """``text`` is all there is; the first ``sent`` code points of it are in the live log under ``epoch``.

    ``cancelled_for`` says why its task was cancelled: ``stop``, ``overtaken`` or ``hand_over``. While ``renewing`` is
    set, its epoch is being raised: whether the database still knows it under the old one means nothing then. From
    ``ending`` on it is being stored for good and nothing cancels it any more. ``sources`` are the approved answers that
    were found, ``told`` those that its model was told; ``knows`` is set once the FAQ was asked. ``restorer`` puts
    personal data back into what the model says, where it was sent placeholders; ``filter`` is what its words have to
    pass, and ``findings`` are what broke a moderators' rule: stored with the ending. ``shared`` is its question, where
    others who ask the same wait for what it says.
    """

    reply: UUID
    conversation: UUID
    epoch: int
    text: str
    work: Work
    sent: int = -1  # -1: the log has not been started under this epoch
    base: int = 0  # code points there were when the epoch began: the log's first entry holds them
    checkpointed: int = 0
    splitter: markdown.BlockSplitter = field(default_factory=markdown.BlockSplitter)
    blocks: list[events.RenderedBlock] = field(default_factory=list)
    followers: set[str] = field(default_factory=set)
    model: str = ""
    first_kept: int = 0
    knows: bool = False
    sources: list[Source] = field(default_factory=list)
    told: list[Source] = field(default_factory=list)
    restorer: Restorer | None = None
    filter: OutputFilter | None = None
    findings: list[Finding] = field(default_factory=list)
    shared: Asked | None = None
    asked_at: float | None = None  # by time.monotonic, of a model for the first time
    first_token_at: datetime | None = None
    taken_at: datetime = field(default_factory=timezone.now)
    waited: float | None = None  # seconds until it was taken up; None where it had been before
    request_id: str | None = None  # of the request or command that queued it
    has_begun: bool = False
    cancelled_for: str = ""
    ending: bool = False
    renewing: "asyncio.Future[None] | None" = None
    task: "asyncio.Task[None] | None" = None

    @classmethod
    def of(cls, claim: Claim, work: Work) -> "LiveReply":
        return cls(
            claim.reply,
            claim.conversation,
            claim.epoch,
            claim.text,
            work,
            base=len(claim.text),
            checkpointed=len(claim.text),
            waited=claim.waited if claim.is_first else None,
            request_id=claim.request_id,
        )

    def note_asked(self) -> None:
        """A model is asked now."""
        if self.asked_at is None:
            self.asked_at = time.monotonic()

    @property
    def provider(self) -> str:
        """Whose slot it takes."""
        return self.work.models[0].partition("/")[0]

    @property
    def is_condemned(self) -> bool:
        """Whether the moderation endpoint found that what was shown must not stay."""
        return any(finding.condemns for finding in self.findings)

    def take_entry(self) -> Entry | None:
        """What has to go out next, marked as gone; None where nothing has. Call only when it will be sent, and until it
        gives None: the beginning of a log and what was said since are two entries."""
        if self.sent < 0:
            return self._start_entry()
        before, seq = self.sent, len(self.text)
        if seq == before:
            return None
        new = self.text[before:]
        blocks = self._finished_blocks(self.text) if "\n" in new else []
        frame = events.encode(
            events.ReplyDelta(
                conversation=self.conversation, reply=self.reply, epoch=self.epoch, seq=seq, text=new, blocks=blocks
            )
        )
        self.sent = seq
        return Entry(self.reply, self.epoch, before, seq, DELTA, frame)

    def _start_entry(self) -> Entry:
        seq = self.sent = self.base
        text = self.text[:seq]
        if seq:
            self._finished_blocks(text)
            event: events.Event = events.ReplySnapshot(
                conversation=self.conversation,
                reply=self.reply,
                epoch=self.epoch,
                seq=seq,
                text=text,
                blocks=self.blocks,
            )
        else:
            event = events.ReplyStarted(
                conversation=self.conversation, reply=self.reply, epoch=self.epoch, seq=0, model=self.model
            )
        return Entry(self.reply, self.epoch, 0, seq, START, events.encode(event))

    def _finished_blocks(self, text: str) -> list[events.RenderedBlock]:
        found = [events.RenderedBlock(block.end, block.html) for block in self.splitter.feed(text)]
        self.blocks.extend(found)
        return found

    def restart_log(self, epoch: int) -> None:
        """The log has to begin anew under a higher epoch: the whole text goes out again, as a snapshot."""
        self.epoch, self.sent, self.base = epoch, -1, len(self.text)

    def withdraw(self) -> None:
        """What was shown is taken back: the log begins anew, with nothing, under the epoch that the ending gave it."""
        self.text = ""
        self.blocks.clear()
        self.restart_log(self.epoch + 1)

    def checkpoint(self) -> Checkpoint:
        """What the database should know now; whoever stores it then sets ``checkpointed``. While the ending is being
        stored, which may take long, only the lease is renewed."""
        new = len(self.text) > self.checkpointed and not self.ending
        return Checkpoint(self.reply, self.epoch, self.text if new else None)

    def ending_entry(self, ending: Ending) -> Entry:
        """The last event, with the whole text and its HTML."""
        frame = events.encode(ending_event(self.conversation, self.reply, self.epoch, ending))
        return Entry(self.reply, self.epoch, max(self.sent, 0), len(ending.text), END, frame)

    def last_entries(self, ending: Ending) -> list[Entry]:
        """The ending, and before it what the reply cites, where it cites anything."""
        end = self.ending_entry(ending)
        if not ending.citations:
            return [end]
        cited = events.ReplyCitations(
            conversation=self.conversation,
            reply=self.reply,
            epoch=self.epoch,
            seq=end.seq,
            citations=_citation_infos(ending),
        )
        return [end._replace(kind=NOTE, frame=events.encode(cited)), end]


_ENDINGS: dict[str, type[events.ReplyEnding]] = {
    "completed": events.ReplyCompleted,
    "stopped": events.ReplyStopped,
    "interrupted": events.ReplyInterrupted,
    "failed": events.ReplyFailed,
}


def ending_event(conversation: UUID, reply: UUID, epoch: int, ending: Ending) -> events.ReplyEnding:
    """How a reply ended, as its followers get it."""
    usage = None
    if ending.prompt_tokens is not None and ending.completion_tokens is not None:
        usage = events.UsageInfo(ending.prompt_tokens, ending.completion_tokens, ending.usage_estimated)
    return _ENDINGS[ending.status](
        conversation=conversation,
        reply=reply,
        epoch=epoch,
        seq=len(ending.text),
        text=ending.text,
        html=markdown.render(ending.text),
        usage=usage,
        source=ending.source,
        citations=_citation_infos(ending),
        offers=[events.OfferInfo(**offer) for offer in ending.offers],
        finish_reason=ending.finish_reason,
        code=ending.code,
        detail=ending.detail,
        cached_at=ending.cached_at,
    )


def _citation_infos(ending: Ending) -> list[events.CitationInfo]:
    return [events.CitationInfo(source.number, source.faq, source.question) for source in ending.citations]
