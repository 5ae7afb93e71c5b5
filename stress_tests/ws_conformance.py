"""Does a server speak the chat protocol? ``python -m stress_tests.ws_conformance URL`` checks one from outside.

It signs in as you say (an API key, an address and a password, or else as a guest), opens sockets by tickets and goes
through docs/protocol.md: the handshake, frames that are no commands, asking, idempotent sending, streaming, resuming
from every kind of cursor, stopping, branching, close codes, and that another person's conversation answers as an absent
one. One line a check, then a summary. What it costs the server, and what it leaves behind, stands in docs/api.md.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp

from . import ws_conformance_frames as frames
from . import ws_conformance_replies as replies
from .ws_conformance_client import Api, CannotRun, Credentials, Failed, Skipped
from .ws_conformance_run import Check, Options, Result, Run, collector

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "asyncapi.json"
HTTP_SECONDS = 30

_schema: list[Check] = []


@collector(_schema)("schema", "every event that was heard is as docs/asyncapi.json says")
async def _events_are_as_documented(run: Run) -> None:
    try:
        from jsonschema import Draft7Validator  # type: ignore[import-untyped]
    except ImportError:
        raise Skipped("jsonschema is not installed") from None
    components = json.loads(DOCUMENT.read_text())["components"]
    heard = [event for tab in (*run.tabs, *run.strangers) for event in tab.heard]
    for event in heard:
        message = components["messages"].get(event["type"])
        if message is None:
            raise Failed(f"an event of no known type: {event['type']}")
        for error in Draft7Validator({**message["payload"], "components": components}).iter_errors(event):
            raise Failed(f"{event['type']}: {error.json_path}: {error.message}"[:300])


CHECKS: list[Check] = [*frames.FIRST, *replies.CHECKS, *frames.LAST, *_schema]


@asynccontextmanager
async def starting(
    url: str, credentials: Credentials, other: Credentials | None, options: Options
) -> AsyncIterator[Run]:
    """A run whose person is signed in. Raises CannotRun."""
    timeout = aiohttp.ClientTimeout(total=HTTP_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        api = Api(url, http, options.patience)
        await api.sign_in(credentials)
        run = Run(api, options)
        run.first_ticket, run.first_ticket_at = await api.ticket(), time.monotonic()
        stranger = Api(url, http, options.patience)
        try:
            await stranger.sign_in(other or Credentials())
            run.other = stranger
        except CannotRun as why:
            run.why_no_other = f"there is no other person (--other-api-key): {why}"
        try:
            yield run
        finally:
            await run.close()


async def conformance(
    url: str,
    credentials: Credentials,
    *,
    other: Credentials | None = None,
    options: Options,
    only: Sequence[str] = (),
    as_it_goes: Any = None,
) -> list[Result]:
    """Run the checks, in order, and tell ``as_it_goes`` each result. ``only`` are beginnings of names.

    Raises CannotRun.
    """
    results = []
    async with starting(url, credentials, other, options) as run:
        for check in CHECKS:
            if only and not check.name.startswith(tuple(only)):
                continue
            results.append(await check.run(run))
            if as_it_goes:
                as_it_goes(results[-1])
    return results


def line(result: Result) -> str:
    """One result for people."""
    reason = f": {result.reason}" if result.reason else ""
    return f"{result.outcome}  {result.name:<26} {result.title}{reason}"


def summary(results: Sequence[Result], seconds: float) -> dict[str, Any]:
    """How many passed, failed and were skipped."""
    counts = {name: sum(r.outcome == name for r in results) for name in ("pass", "fail", "skip")}
    return {**counts, "seconds": round(seconds, 1)}


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where no check failed, 1 where one did, 2 where none could run."""
    options = _parser().parse_args(arguments)
    credentials = Credentials()
    if not options.guest:
        credentials = Credentials(options.api_key, options.email, options.password)
    other = Credentials(options.other_api_key) if options.other_api_key else None
    began = time.monotonic()

    def show(result: Result) -> None:
        print(line(result), flush=True)

    try:
        results = asyncio.run(
            conformance(
                options.url,
                credentials,
                other=other,
                options=Options(
                    persona=options.persona,
                    flood=options.flood,
                    wait=not options.no_wait,
                    reply_seconds=options.reply_seconds,
                ),
                only=options.only,
                as_it_goes=None if options.json else show,
            )
        )
    except CannotRun as why:
        print(why, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    counts = summary(results, time.monotonic() - began)
    if options.json:
        print(json.dumps({"url": options.url, **counts, "checks": [asdict(result) for result in results]}, indent=1))
    else:
        print("{pass} passed, {fail} failed, {skip} skipped in {seconds} s".format(**counts))
    return 1 if counts["fail"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ws_conformance", description=(__doc__ or "").partition("\n")[0])
    say = os.environ.get
    parser.add_argument("url", help="the server, as https://chat.example.org")
    parser.add_argument("--api-key", default=say("NONO_API_KEY", ""), help="scopes read and chat (NONO_API_KEY)")
    parser.add_argument("--email", default=say("NONO_EMAIL", ""), help="(NONO_EMAIL)")
    parser.add_argument("--password", default=say("NONO_PASSWORD", ""), help="better by NONO_PASSWORD")
    parser.add_argument("--guest", action="store_true", help="as a guest, whatever else is set; so too without a key")
    parser.add_argument(
        "--other-api-key",
        default=say("NONO_OTHER_API_KEY", ""),
        help="another person; else a guest (NONO_OTHER_API_KEY)",
    )
    parser.add_argument(
        "--persona", default="", help="slug of the persona to ask, one that answers at length; else several"
    )
    parser.add_argument("--reply-seconds", type=float, default=120.0, help="how long a reply may take (120)")
    parser.add_argument("--flood", action="store_true", help="also send 1000 frames at once, to be closed for it")
    parser.add_argument("--no-wait", action="store_true", help="do not wait 30 s for a ticket to run out")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="checks whose name begins so")
    parser.add_argument("--json", action="store_true", help="one JSON object, at the end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
