"""Conformance: who gets a socket, and what becomes of frames that are no commands."""

import asyncio
import contextlib
import time

from .ws_conformance_client import Failed, Json, Refused, Skipped, Tab
from .ws_conformance_run import Body, Check, Run, collector

SIGNED_OUT, BAD_FRAME, TOO_LARGE, TOO_MANY = 4401, 4400, 1009, 4429
MAX_FRAME_BYTES = 64 * 1024
AT_ONCE = 5
FLOOD_FRAMES = 1000
SOME_ID = "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10"

FIRST: list[Check] = []
LAST: list[Check] = []
check, check_last = collector(FIRST), collector(LAST)


@check("handshake.ready", "a ticket opens a socket, whose first event is ready, of protocol 1")
async def _ready(run: Run) -> None:
    tab = await run.main()
    if tab.first.get("protocol") != 1:
        raise Failed(f"ready says protocol {tab.first.get('protocol')}")


@check("handshake.ticket_once", f"a ticket opens one socket, however many try at once ({AT_ONCE})")
async def _once(run: Run) -> None:
    ticket = (await run.api.ticket())["ticket"]
    tabs = await asyncio.gather(*(run.api.connect(ticket) for _ in range(AT_ONCE)))
    opened = [tab for tab in tabs if tab.first["type"] == "ready"]
    codes = [tab.close_code for tab in tabs if tab not in opened]
    await asyncio.gather(*(tab.close() for tab in tabs))
    if len(opened) != 1 or set(codes) != {SIGNED_OUT}:
        raise Failed(f"{len(opened)} of {AT_ONCE} opened; the others closed with {sorted(map(str, codes))}")


@check("handshake.ticket_unknown", "an unknown ticket is closed with 4401")
async def _unknown(run: Run) -> None:
    await _expect_close(await run.api.connect("x" * 43), SIGNED_OUT)


@check("handshake.nobody", "without a ticket or a session nobody gets in: an HTTP status or 4401")
async def _nobody(run: Run) -> None:
    with contextlib.suppress(Refused):
        await _expect_close(await run.api.connect(None), SIGNED_OUT)


@check("handshake.origin", "a foreign page gets no socket, even with a ticket that is good")
async def _origin(run: Run) -> None:
    ticket = (await run.api.ticket())["ticket"]
    try:
        tab = await run.api.connect(ticket, origin="https://foreign.invalid")
    except Refused as refused:
        if 400 <= refused.status < 500:
            return
        raise
    await tab.close()
    raise Failed(f"it was answered with {tab.first['type']}")


@check("ping", "ping is answered by pong")
async def _ping(run: Run) -> None:
    await (await run.main()).ping()


BAD = {
    "bad_json": ("broken JSON", '{"type":"ping"'),
    "no_object": ("JSON that is no object", "[]"),
    "nesting": ("30,000 nested arrays", "[" * 30_000),
    "nan": ("NaN, which is no JSON", '{"type":"conversation.follow","conversation":NaN}'),
    "digits": ("a number of 5,000 digits", '{"type":"conversation.follow","conversation":' + "9" * 5000 + "}"),
    "surrogate": ("half a surrogate pair", '{"type":"message.send","client_id":"a","text":"\\ud800"}'),
    "unknown_type": ("an unknown type", '{"type":"message.shout"}'),
    "internal_type": ("a name from within the server", '{"type":"websocket.disconnect","code":1000}'),
    "event_type": ("an event, sent by a client", f'{{"type":"conversation.unfollowed","conversation":"{SOME_ID}"}}'),
    "unknown_field": ("an unknown field", '{"type":"ping","extra":1}'),
    "missing_field": ("a field that is missing", '{"type":"message.send","client_id":"a"}'),
    "wrong_type": ("a field of the wrong type", '{"type":"reply.stop","reply":1}'),
    "long_text": (
        "a text of 16,001 characters",
        '{"type":"message.send","client_id":"a","text":"' + "x" * 16_001 + '"}',
    ),
}


def _refuses(frame: str) -> Body:
    async def body(run: Run) -> None:
        tab = await run.probe()
        before = len(tab.heard)
        await tab.send_raw(frame)
        answer = await tab.next(_is_answer, "an answer", before)
        if (answer["type"], answer.get("code")) != ("error", "bad_command") or not answer.get("detail"):
            raise Failed(f"it was answered with {answer}"[:300])
        await tab.ping()

    return body


for _name, (_what, _frame) in BAD.items():
    check(f"error.{_name}", f"{_what}: an error event (bad_command), and the socket stays")(_refuses(_frame))


@check("close.binary", "a binary frame is closed with 4400, and other sockets stay")
async def _binary(run: Run) -> None:
    tab = await run.tab()
    await tab.socket.send_bytes(b'{"type":"ping"}')
    await _expect_close(tab, BAD_FRAME)
    await (await run.main()).ping()


@check("close.oversize", "a frame above 64 KiB is closed with 1009, and other sockets stay")
async def _oversize(run: Run) -> None:
    tab = await run.tab()
    with contextlib.suppress(Failed):  # it may be closed while it is still sent
        await tab.send_raw(" " * (MAX_FRAME_BYTES + 1))
    await _expect_close(tab, TOO_LARGE)
    await (await run.main()).ping()


@check("close.flood", f"{FLOOD_FRAMES} frames at once are closed with 4429, and other sockets stay")
async def _flood(run: Run) -> None:
    if not run.options.flood:
        raise Skipped("rude: asked for with --flood")
    tab = await run.tab()
    with contextlib.suppress(Failed):
        for _ in range(FLOOD_FRAMES):
            await tab.send("ping")
    await _expect_close(tab, TOO_MANY)
    await (await run.main()).ping()


@check_last("handshake.ticket_expired", "a ticket that has run out is closed with 4401")
async def _expired(run: Run) -> None:
    left = run.first_ticket_at + run.first_ticket["expires_in"] + 1 - time.monotonic()
    if left > 0 and not run.options.wait:
        raise Skipped("slow: left out by --no-wait")
    if left > 60:
        raise Skipped(f"it would take {left:.0f} s")
    await asyncio.sleep(max(left, 0))
    await _expect_close(await run.api.connect(run.first_ticket["ticket"]), SIGNED_OUT)


def _is_answer(event: Json) -> bool:
    return event["type"] in ("error", "pong", "message.accepted", "conversation.snapshot")


async def _expect_close(tab: Tab, code: int) -> None:
    if tab.first["type"] == "ready" and not tab.is_closed and code == SIGNED_OUT:
        await tab.close()
        raise Failed("it was let in")
    found = await tab.closed()
    if found != code:
        raise Failed(f"it was closed with {found}, not {code}")
