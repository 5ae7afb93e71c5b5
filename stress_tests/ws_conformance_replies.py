"""Conformance: asking, streaming, resuming, stopping, branching, and keeping people apart."""

from typing import Any
from uuid import uuid4

from .ws_conformance_client import Api, Failed, Json, Reply, Skipped, Tab
from .ws_conformance_run import Check, Live, Run, collector

SHORT_QUESTION = "Say hello in a few words."
SAME = 5

CHECKS: list[Check] = []
check = collector(CHECKS)


@check("send.accepted", "a question is acknowledged with its conversation, itself and a queued reply")
async def _accepted(run: Run) -> None:
    tab = await run.main()
    client_id = uuid4().hex
    accepted = await tab.accepted("message.send", client_id=client_id, text=SHORT_QUESTION, **run.persona())
    question, reply = accepted["message"], accepted["reply"]
    expect(question["text"] == SHORT_QUESTION and question["client_id"] == client_id, f"question: {question}")
    expect(reply["parent"] == question["id"] and reply["role"] == "assistant", f"reply: {reply}")
    expect(reply["status"] in ("queued", "streaming"), f"reply's status: {reply['status']}")
    run.short = accepted


@check("send.stream", "what the deltas say is the reply's text: no character missing, doubled or counted wrongly")
async def _stream(run: Run) -> None:
    accepted = run.answered()
    tab = await run.main()
    reply = await tab.ended(accepted["reply"]["id"], run.options.reply_seconds)
    expect(reply.ending == "reply.completed", f"it ended as {reply.ending}")
    snapshot = await tab.follow(accepted["conversation"]["id"])
    stored = snapshot["messages"][-1]
    expect(stored["text"] == reply.text and stored["seq"] == len(reply.text), "the stored text is another")


@check("send.idempotent", f"the same client_id {SAME} times at once, on two sockets, is one question and one reply")
async def _idempotent(run: Run) -> None:
    main, probe = await run.main(), await run.probe()
    client_id = uuid4().hex
    before = {id(tab): len(tab.heard) for tab in (main, probe)}
    senders = [main, probe, main, probe, main][:SAME]
    for tab in senders:
        await tab.send("message.send", client_id=client_id, text=SHORT_QUESTION, **run.persona())
    answers: list[Json] = []
    for tab in (main, probe):
        answers += await tab.until(
            lambda tab=tab: _answers_to(tab, client_id, before[id(tab)], senders.count(tab)),  # type: ignore[misc]
            "an acknowledgement of each",
        )
    refused = [answer for answer in answers if answer["type"] == "error"]
    expect(not refused, f"refused: {refused[:1]}")
    ids = {(a["conversation"]["id"], a["message"]["id"], a["reply"]["id"]) for a in answers}
    expect(len(ids) == 1, f"{len(ids)} questions were stored")
    reply = answers[0]["reply"]["id"]
    texts = {(await tab.ended(reply, run.options.reply_seconds)).text for tab in (main, probe)}
    expect(len(texts) == 1, "two sockets hold two texts of one reply")
    snapshot = await main.follow(answers[0]["conversation"]["id"])
    expect(len(snapshot["messages"]) == 2, f"the conversation has {len(snapshot['messages'])} messages")


def _answers_to(tab: Tab, client_id: str, before: int, count: int) -> list[Json]:
    found = [
        event
        for event in tab.heard[before:]
        if event["type"] in ("message.accepted", "error") and event["client_id"] == client_id
    ]
    return found if len(found) >= count else []


@check("send.no_persona", "a question to a persona that does not exist is refused (not_found) under its client_id")
async def _no_persona(run: Run) -> None:
    answer = await (await run.main()).command("message.send", text="x", persona="no-such-persona-" + uuid4().hex[:8])
    _expect_error(answer, "not_found")


@check("send.empty", "a question without any text is refused (empty_text), and not as a bad frame")
async def _empty(run: Run) -> None:
    _expect_error(await (await run.main()).command("message.send", text=" \n ", **run.persona()), "empty_text")


@check("send.busy", "a question into a conversation whose reply is live is refused (reply_in_progress)")
async def _busy(run: Run) -> None:
    live = await run.live()
    answer = await (await run.probe()).command("message.send", text="x", conversation=live.conversation)
    if answer["type"] == "message.accepted" and live.state.ending:
        return  # it ended meanwhile
    _expect_error(answer, "reply_in_progress")


# --- resuming


def _resumes(name: str, title: str, valid: bool, cursor: Any) -> None:
    """A check that follows a live reply from ``cursor(epoch, seq)``. One that is not ``valid`` joins nothing, so that
    only the whole text may follow on it."""

    async def body(run: Run) -> None:
        live, probe = await run.live(), await run.probe()
        await probe.send("conversation.unfollow", conversation=live.conversation)
        await probe.ping()
        epoch, text = live.state.epoch, live.state.text
        at = cursor(epoch, len(text))
        held = Reply(epoch, text[: at[1]]) if valid else Reply(joins=False)
        probe.hold(live.reply, held)
        await probe.follow(live.conversation, **{live.reply: at})
        await probe.until(lambda: held.first or live.state.ending, "an event of the reply")
        _compare(live, held)

    check(name, title)(body)


_resumes("resume.nothing", "following with nothing gives the whole text", False, lambda e, s: (0, 0))
_resumes("resume.equal", "a cursor at the end gets what follows", True, lambda e, s: (e, s))
_resumes("resume.behind", "a cursor that is behind gets what is missing", True, lambda e, s: (e, s // 2))
_resumes("resume.start", "a cursor at the start of the epoch gets all of it", True, lambda e, s: (e, 0))
_resumes("resume.ahead", "a cursor that is ahead gets the whole text", False, lambda e, s: (e, s + 1_000_000))
_resumes("resume.negative", "a negative cursor gets the whole text", False, lambda e, s: (e, -1))
_resumes("resume.huge", "a cursor of 2^63 gets the whole text", False, lambda e, s: (e, 2**63))
_resumes("resume.old_epoch", "a cursor of an older epoch gets the whole text", False, lambda e, s: (e - 1, s))
_resumes("resume.new_epoch", "a cursor of an epoch to come gets the whole text", False, lambda e, s: (e + 5, s))
_resumes("resume.huge_epoch", "an epoch of 2^63 gets the whole text", False, lambda e, s: (2**63, 0))


@check("resume.dropped", "a connection that breaks in mid-reply is resumed without a gap, and catches up")
async def _dropped(run: Run) -> None:
    live = await run.live()
    lost = await run.tab()
    state = Reply(joins=False)
    lost.hold(live.reply, state)
    await lost.follow(live.conversation)
    await lost.until(lambda: state.text or live.state.ending, "some text")
    lost.drop()
    size = len(live.state.text)
    await live.tab.until(lambda: len(live.state.text) > size or live.state.ending, "more text")
    resumed = await run.tab()
    again = Reply(state.epoch, state.text)
    resumed.hold(live.reply, again)
    await resumed.follow(live.conversation, **{live.reply: (state.epoch, len(state.text))})
    size = len(live.state.text)
    await resumed.until(lambda: len(again.text) >= size or live.state.ending, "what was missed")
    _compare(live, again)
    await resumed.close()


@check("unfollow", "after unfollow nothing of the reply is heard")
async def _unfollow(run: Run) -> None:
    live, probe = await run.live(), await run.probe()
    await probe.send("conversation.unfollow", conversation=live.conversation)
    await probe.ping()
    before, size = len(probe.heard), len(live.state.text)
    await live.tab.until(lambda: len(live.state.text) > size or live.state.ending, "more text elsewhere")
    await probe.ping()
    heard = [e["type"] for e in probe.heard[before:] if e["type"].startswith("reply.") and e["reply"] == live.reply]
    expect(not heard, f"heard {heard[:3]}")


@check("stop", "a stop from another socket ends the reply with the text that is there")
async def _stop(run: Run) -> None:
    live, probe = await run.live(), await run.probe()
    held = live.state.text
    await probe.send("reply.stop", reply=live.reply)
    reply = await live.tab.ended(live.reply)
    expect(reply.ending in ("reply.stopped", "reply.completed"), f"it ended as {reply.ending}")
    expect(reply.text.startswith(held), "the text is another than before")
    if reply.ending == "reply.stopped":
        run.stopped = live


@check("stop.again", "stopping again changes nothing and is no error")
async def _stop_again(run: Run) -> None:
    live = _stopped(run)
    tab = await run.main()
    before = len(tab.heard)
    await tab.send("reply.stop", reply=live.reply)
    await tab.ping()
    errors = [event for event in tab.heard[before:] if event["type"] == "error"]
    expect(not errors, f"answered with {errors[:1]}")
    snapshot = await tab.follow(live.conversation)
    expect(snapshot["messages"][-1]["status"] == "stopped", f"it is {snapshot['messages'][-1]['status']}")


@check("continue", "continuing keeps the text, raises the epoch and goes on behind it")
async def _continue(run: Run) -> None:
    live, tab = _stopped(run), await run.main()
    kept, epoch = tab.replies[live.reply].text, tab.replies[live.reply].epoch
    await tab.accepted("reply.continue", reply=live.reply)
    await tab.until(lambda: tab.replies[live.reply].epoch > epoch, "the next epoch", run.options.reply_seconds)
    await tab.send("reply.stop", reply=live.reply)
    reply = await tab.ended(live.reply, run.options.reply_seconds)
    expect(reply.epoch > epoch and reply.text.startswith(kept), "what there was is not kept")


def _stopped(run: Run) -> Live:
    if run.stopped is None:
        raise Skipped("no reply was stopped before its end")
    return run.stopped


# --- branches


@check("regenerate", "regenerating makes a second reply beside the first, to the same question")
async def _regenerate(run: Run) -> None:
    first, tab = run.answered(), await run.main()
    again = await tab.accepted("reply.regenerate", reply=first["reply"]["id"])
    await tab.ended(again["reply"]["id"], run.options.reply_seconds)
    last = (await tab.follow(first["conversation"]["id"]))["messages"][-1]
    expect(again["message"]["id"] == first["message"]["id"], "it answers another question")
    expect(last["siblings"] == [first["reply"]["id"], again["reply"]["id"]], f"branches: {last['siblings']}")


@check("edit", "editing asks anew beside the first question, which stays")
async def _edit(run: Run) -> None:
    first, tab = run.answered(), await run.main()
    edited = await tab.accepted("message.edit", message=first["message"]["id"], text="Say goodbye in a few words.")
    await tab.ended(edited["reply"]["id"], run.options.reply_seconds)
    question = (await tab.follow(first["conversation"]["id"]))["messages"][0]
    expect(question["id"] == edited["message"]["id"], "the new branch is not the active one")
    expect(
        question["siblings"] == [first["message"]["id"], edited["message"]["id"]], f"branches: {question['siblings']}"
    )


# --- people apart


def _keeps_apart(name: str, title: str, command: Any) -> None:
    """A check that another's thing answers just as one that is absent; ``command`` takes the ids of a conversation, a
    question and a reply."""

    async def body(run: Run) -> None:
        accepted, stranger = run.answered(), await _stranger(run, run.somebody_else())
        ids = [accepted[part]["id"] for part in ("conversation", "message", "reply")]
        answers = []
        for targets in (ids, [str(uuid4()) for _ in ids]):
            kind, fields = command(*targets)
            if kind not in ("conversation.follow", "reply.stop"):
                fields["client_id"] = uuid4().hex
            of = _error_or("conversation.snapshot", "message.accepted", "pong")
            before = len(stranger.heard)
            await stranger.send(kind, **fields)
            await stranger.send("ping")
            answers.append(await stranger.next(of, f"an answer to {kind}", before))
            await stranger.next(lambda event: event["type"] == "pong", "a pong", before)
        found, absent = ({key: a.get(key) for key in ("type", "code", "detail")} for a in answers)
        expect(found["code"] == "not_found", f"another's was answered with {found}")
        expect(found == absent, f"another's was answered with {found}, an absent one with {absent}")

    check(name, title)(body)


_keeps_apart(
    "apart.follow",
    "another's conversation cannot be followed",
    lambda c, m, r: ("conversation.follow", {"conversation": c}),
)
_keeps_apart(
    "apart.send",
    "nothing can be sent into another's conversation",
    lambda c, m, r: ("message.send", {"conversation": c, "text": "x"}),
)
_keeps_apart("apart.stop", "another's reply cannot be stopped", lambda c, m, r: ("reply.stop", {"reply": r}))
_keeps_apart(
    "apart.edit", "another's question cannot be edited", lambda c, m, r: ("message.edit", {"message": m, "text": "x"})
)


async def _stranger(run: Run, api: Api) -> Tab:
    for tab in run.strangers:
        if not tab.is_closed:
            return tab
    run.strangers.append(await run.tab(api))
    return run.strangers[-1]


def _error_or(*kinds: str) -> Any:
    return lambda event: event["type"] in ("error", *kinds)


def _compare(live: Live, held: Reply) -> None:
    """Two sockets hold the same text, as far as both hold it."""
    size = min(len(live.state.text), len(held.text))
    expect(live.state.text[:size] == held.text[:size], "two sockets hold two texts of one reply")


def _expect_error(answer: Json, code: str) -> None:
    expect((answer["type"], answer.get("code")) == ("error", code), f"it was answered with {answer}"[:300])


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failed(otherwise)
