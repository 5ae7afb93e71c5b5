"""``manage.py models``: which models there are, whether they answer, and fetching one for Ollama."""

import asyncio
from argparse import ArgumentParser
from collections.abc import Coroutine
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.llm.errors import LLMError
from chatbot_project.lib.llm.ollama import PullProgress, pull_model
from chatbot_project.lib.llm.types import ChatMessage, ChatRequest, RetryPolicy

BAR_WIDTH = 30
ONE_TOKEN = ChatRequest([ChatMessage("user", "Say OK.")], max_tokens=1)


class Command(BaseCommand):
    help = "Lists the models of all configured providers, checks that they answer, or pulls one into Ollama."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="providers and the models they offer")
        check = actions.add_parser("check", help="ask each provider, and each configured model for one token")
        check.add_argument("models", nargs="*", metavar="PROVIDER/NAME", help="these models instead of the configured")
        pull = actions.add_parser("pull", help="have Ollama fetch a model")
        pull.add_argument("name", help="such as llama3.2 or ollama/llama3.2")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked. Raises CommandError, and so exits with 1, if anything did not answer."""
        if not settings.LLM_PROVIDERS:
            raise CommandError("No model provider is configured. Set LLM_PROVIDERS, OPENAI_API_KEY or OLLAMA_HOST.")
        if options["action"] == "list":
            asyncio.run(self._list())
        elif options["action"] == "check":
            asyncio.run(self._check(options["models"] or configured_models()))
        else:
            asyncio.run(self._pull(options["name"]))

    async def _list(self) -> None:
        failed = False
        async with one_try_client() as client:
            for name, provider in settings.LLM_PROVIDERS.items():
                self.stdout.write(self.style.MIGRATE_HEADING(f"{name}  {provider.base_url}"))
                try:
                    for model in await client.list_models(name):
                        self.stdout.write(f"  {name}/{model}")
                except LLMError as error:
                    failed = True
                    self._bad(error)
        if failed:
            raise CommandError("Not every provider answers.")

    async def _check(self, models: list[str]) -> None:
        failed = False
        async with one_try_client() as client:
            for name in settings.LLM_PROVIDERS:
                failed |= not await self._checked(name, client.check(name))
            for model in models:
                failed |= not await self._checked(model, ask_for_one_token(client, model))
        if failed:
            raise CommandError("Not everything answers.")

    async def _checked(self, what: str, asking: Coroutine[Any, Any, None]) -> bool:
        """Whether it answers; says so."""
        try:
            await asking
        except LLMError as error:
            self.stdout.write(what)
            self._bad(error)
            return False
        self.stdout.write(f"{what}  {self.style.SUCCESS('ok')}")
        return True

    def _bad(self, error: LLMError) -> None:
        self.stdout.write(f"  {self.style.ERROR(error.code)}  {error.detail}")

    async def _pull(self, name: str) -> None:
        provider = settings.LLM_PROVIDERS.get("ollama")
        if provider is None:
            raise CommandError("Ollama is not configured: set OLLAMA_HOST, such as 127.0.0.1:11434.")
        progress = Progress(self.stdout, live=self.stdout.isatty())
        try:
            async for report in pull_model(provider, name.removeprefix("ollama/")):
                progress.show(report)
        except LLMError as error:
            progress.end()
            raise CommandError(error.detail) from error
        progress.end()
        self.stdout.write(self.style.SUCCESS(f"ollama/{name.removeprefix('ollama/')} is ready."))


class Progress:
    """Reports of a pull as lines, the download among them as a bar that is redrawn on a terminal."""

    def __init__(self, out: Any, *, live: bool) -> None:
        self._out = out
        self._live = live
        self._status = ""
        self._open = False

    def show(self, report: PullProgress) -> None:
        """Draw one report. Without a terminal each status is written once, not each step of it."""
        if report.status != self._status:
            self.end()
            self._status = report.status
            if not self._live or not report.total:
                self._out.write(report.status)
        if self._live and report.total:
            self._out.write(f"\r{report.status}  {bar(report)}", ending="")
            self._out.flush()
            self._open = True

    def end(self) -> None:
        """Leave the line of the bar."""
        if self._open:
            self._out.write("")
            self._open = False


def bar(report: PullProgress) -> str:
    """Such as ``[######----]  60 %  1.2 of 2.0 GB``. Decimal units."""
    share = min(1.0, report.completed / report.total)
    done = round(share * BAR_WIDTH)
    unit, size = ("GB", 1e9) if report.total >= 1e9 else ("MB", 1e6)
    amounts = f"{report.completed / size:.1f} of {report.total / size:.1f} {unit}"
    return f"[{'#' * done}{'-' * (BAR_WIDTH - done)}] {share:4.0%}  {amounts}"


def configured_models() -> list[str]:
    """The models that the settings name, each once."""
    named = [settings.DEFAULT_MODEL, *settings.FALLBACK_MODELS, settings.TITLE_MODEL, settings.SUMMARY_MODEL]
    named += [settings.FAQ_DRAFT_MODEL, settings.QUALITY_JUDGE_MODEL]
    named += [settings.TRANSLATION_MODEL] if settings.TRANSLATOR == "llm" else []
    return list(dict.fromkeys(filter(None, named)))


def one_try_client() -> LLMClient:
    """A client for someone who waits at a terminal and wants to see the first fault."""
    return LLMClient(settings.LLM_PROVIDERS, retries=RetryPolicy(attempts=1))


async def ask_for_one_token(client: LLMClient, model: str) -> None:
    """Return if the model is there and says something. Raises ``LLMError``."""
    stream = await client.open_stream([model], ONE_TOKEN)
    await stream.close()
