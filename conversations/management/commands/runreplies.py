"""``manage.py runreplies``: the reply worker."""

import asyncio
import signal
from typing import Any

import structlog
import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError

from chatbot_project.lib import descriptors, threads, tracing
from chatbot_project.lib.collecting import keep_loaded
from chatbot_project.lib.db import run_db
from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.llm.guarded import deadlines
from chatbot_project.lib.metrics.serving import serve_metrics
from conversations import doorbell
from conversations.replies import metering
from conversations.replies.cache import vectors
from conversations.replies.queue import slots_of
from conversations.replies.worker import ReplyWorker
from personas.knowledge import warm_up

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Answers queued messages. SIGTERM lets live replies end, and hands over those that take REPLY_DRAIN_SECONDS."

    def handle(self, *args: Any, **options: Any) -> None:
        """Work until SIGTERM or SIGINT."""
        threads.share_arenas()
        descriptors.raise_limit()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work())


async def work() -> None:
    """Run a worker until a signal asks for its end, then drain it."""
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    threads.start_default()
    doorbell.connect()
    slots = {name: slots_of(name) for name in settings.LLM_PROVIDERS}
    async with LLMClient(settings.LLM_PROVIDERS, deadlines=deadlines(), slots=slots) as llm:
        worker = ReplyWorker(llm)
        metering.watch(llm.breaker_state)
        serve_metrics("replies")
        tracing.start("replies")
        running = asyncio.create_task(worker.run())
        warming = asyncio.create_task(_warm_up())
        ended = asyncio.create_task(ending.wait())
        log.info("worker.started", worker=worker.name)
        await asyncio.wait((running, ended), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()  # raises what broke it
        await worker.drain(settings.REPLY_DRAIN_SECONDS)
        running.cancel()
        await asyncio.gather(running, warming, return_exceptions=True)
    await doorbell.disconnect()
    log.info("worker.ended", worker=worker.name)


async def _warm_up() -> None:
    """So that the first question to the FAQ, or one that may be answered as before, need not wait for what a later one
    finds loaded, nor replies for a look at all of it."""
    try:
        await run_db(warm_up)
        await run_db(vectors.warm_up)
    except (DatabaseError, InterfaceError) as error:
        log.warning("worker.database_away", step="warm_up", error=type(error).__name__)
    keep_loaded()
