"""A chat in the terminal, which goes on by itself when the connection breaks.

::

    python terminal_chat.py https://chat.example.org [another address of the same service …] [--persona support]

Signs in with NONO_API_KEY, or with NONO_EMAIL and NONO_PASSWORD, or else as a guest. Ctrl-C stops the reply that is
being written; again, or where none is, it leaves. So does Ctrl-D.
"""

import argparse
import asyncio
import os
import signal
import sys

import aiohttp
from nono_client import Chat, Nono, NonoError, Reply


class Terminal:
    """What is said and heard at one terminal."""

    def __init__(self, chat: Chat, persona: str | None) -> None:
        self._chat, self._persona = chat, persona
        self._conversation: str | None = None
        self._reply: Reply | None = None
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def interrupt(self) -> None:
        """Ctrl-C."""
        if self._reply is not None and self._reply.is_live and not self._stopping:
            self._stopping = True
            task = asyncio.ensure_future(self._chat.stop(self._reply))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Ask and answer until the input ends."""
        self._task = asyncio.current_task()
        lines = await _stdin()
        while True:
            _say("> ")
            line = await lines.readline()
            if not line:
                return
            if text := line.decode(errors="replace").strip():
                await self._ask(text)

    async def _ask(self, text: str) -> None:
        try:
            self._reply = await self._chat.ask(text, conversation=self._conversation, persona=self._persona)
        except NonoError as error:
            _say(f"[{error.detail}]\n")
            return
        self._conversation = self._reply.conversation
        self._stopping = False
        async for piece in self._reply:
            _say(piece)
        if self._reply.status != "completed":
            _say(f" [{self._reply.detail or self._reply.status}]")
        _say("\n")
        for citation in self._reply.citations:
            _say(f"  [{citation['number']}] {citation['question']}\n")


def _say(text: str) -> None:
    # What a model writes must not command the terminal.
    shown = "".join(character for character in text if character.isprintable() or character in "\n\t")
    sys.stdout.write(shown)
    sys.stdout.flush()


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _main(urls: list[str], persona: str | None) -> int:
    api_key, email = os.environ.get("NONO_API_KEY", ""), os.environ.get("NONO_EMAIL", "")
    async with Nono(*urls, api_key=api_key) as nono:
        try:
            if email and not api_key:
                await nono.sign_in(email, os.environ.get("NONO_PASSWORD", ""), device="terminal_chat")
            elif not api_key:
                await nono.sign_in_as_guest(device="terminal_chat")
            async with nono.chat() as chat:
                terminal = Terminal(chat, persona)
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, terminal.interrupt)
                await terminal.run()
        except (NonoError, aiohttp.ClientError) as error:
            _say(f"{error}\n")
            return 1
        except asyncio.CancelledError:  # Ctrl-C
            _say("\n")
    return 0


def main() -> int:
    """The exit code: 1 where the server refuses or cannot be reached."""
    parser = argparse.ArgumentParser(description="A chat in the terminal.")
    parser.add_argument("urls", nargs="+", metavar="URL", help="the server; further addresses are tried after it")
    parser.add_argument("--persona", help="slug of the persona; left out, the first")
    options = parser.parse_args()
    return asyncio.run(_main(options.urls, options.persona))


if __name__ == "__main__":
    sys.exit(main())
