"""Any interleaving of what people, networks and models do ends with every tab showing what a new one is shown.

Real processes, real sockets; the model is the fake server, whose tokens are let through by the rules. What the rules
draw never depends on timing, so that a failing run can be replayed: where a rule finds nothing to act on, it does
nothing. ``STATE_MACHINE_EXAMPLES`` asks for more runs than the suite has time for.
"""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, ClassVar

import pytest
from django.test import Client
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from accounts.tests.factories import make_user
from conversations.models import Message
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Gate, Script

from .factories import make_persona
from .knowledge_stack import make_knowing_persona, make_knowledge
from .mirror import Tab
from .stack import Stack, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES", "50"))
PROFILE = settings(
    max_examples=EXAMPLES,
    stateful_step_count=int(os.environ.get("STATE_MACHINE_STEPS", "30")),
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    # A failing run is printed as it was found: making it smaller takes many more runs, so it is asked for.
    phases=list(Phase) if "STATE_MACHINE_SHRINK" in os.environ else [Phase.reuse, Phase.generate],
)
MAX_TABS = 3
SCRIPTS = 80
REPLIES = (
    ["Plain ", "words, ", "one ", "after ", "another."],
    ["Grü", "ße ", "🌍", "👩‍👩‍👧", " und\n\n", "```py\n", "x = 1\n", "```\n", "\nEnde"],
    ["| a | b |\n", "|---|---|\n", "| 1 ", "| 2 |\n\n", "- one\n", "- two\n\n", "> three"],
    ["One [1]"],
)
TABS = st.integers(0, MAX_TABS - 1)
PLACES = st.integers(0, 11)
WORDS = st.integers(0, 3)


def script(number: int, gate: Gate) -> Script:
    """Models that end, that run into their limit, and that break off."""
    tokens = REPLIES[number % len(REPLIES)]
    if number % 5 == 3:
        return Script(tokens=tokens, gate=gate, finish_reason="length")
    if number % 7 == 4:
        return Script(tokens=tokens, gate=gate, cut_after=len(tokens) // 2 + 1, cut="eof")
    return Script(tokens=tokens, gate=gate)


class Chatting(RuleBasedStateMachine):
    """One person with up to three tabs on one conversation."""

    stack: ClassVar[Stack]
    model: ClassVar[FakeModelServer]
    texts: ClassVar = ["Hello?", "Zweite Frage ✓", "a\n\nb", "x" * 300]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.browser = Client()
        self.user = make_user()
        self.browser.force_login(self.user)
        self.conversation = ""
        self.tabs: list[Tab] = []
        self.gates: list[Gate] = []
        self.hold_tokens()

    def hold_tokens(self) -> None:
        """From now on each stream waits at a gate of its own."""
        self.model.restore()
        self.gates = [self.model.hold() for _ in range(SCRIPTS)]
        self.model.enqueue(*(script(number, gate) for number, gate in enumerate(self.gates)))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def tab(self, number: int) -> Tab:
        return self.tabs[number % len(self.tabs)]

    def act(self, tab: Tab, kind: str, **fields: Any) -> None:
        async def send() -> None:
            tab.command(kind, **fields)
            await heard(tab)

        self.run(send())

    def shown(self, tab: Tab, role: str, place: int) -> str:
        """The id of one of the messages that the tab shows; empty where it shows none."""
        found = [m["id"] for m in tab.mirror.shown(tab.conversation) if m["role"] == role]
        return found[place % len(found)] if found else ""

    # --- rules

    @initialize(branches=st.booleans())
    def begin(self, branches: bool) -> None:
        """A first question; with ``branches`` also another wording of it and another reply to that, all ended."""

        async def ask() -> None:
            tab = Tab(self.stack.url, self.browser.session.session_key or "")
            self.tabs.append(tab)
            await tab.connect()
            tab.command("message.send", text="First question")
            await tab.until(lambda: tab.conversation, "the first question to be accepted")
            if branches:
                self.release_all()
                await done(tab)
                tab.command("message.edit", message=self.shown(tab, "user", 0), text="Reworded")
                await done(tab)
                tab.command("reply.regenerate", reply=self.shown(tab, "assistant", 0))
                await done(tab)

        self.run(ask())
        self.conversation = self.tabs[0].conversation
        if branches:
            self.hold_tokens()

    @rule()
    def open_another_tab(self) -> None:
        if len(self.tabs) < MAX_TABS:
            self.tabs.append(self.new_tab())
            self.run(connected(self.tabs[-1]))

    def new_tab(self) -> Tab:
        return Tab(self.stack.url, self.browser.session.session_key or "", self.conversation)

    @rule(number=TABS)
    def reload(self, number: int) -> None:
        async def again() -> None:
            await old.close()
            await connected(new)

        old, new = self.tab(number), self.new_tab()
        new.outbox, new.mirror.own = old.outbox, old.mirror.own
        self.tabs[self.tabs.index(old)] = new
        self.run(again())

    @rule(number=TABS)
    def break_connection(self, number: int) -> None:
        async def drop() -> None:
            if tab.is_open:
                tab.drop()
                await tab.until(lambda: not tab.is_open, "the break to be noticed")

        tab = self.tab(number)
        self.run(drop())

    @rule(number=TABS)
    def reconnect(self, number: int) -> None:
        self.run(connected(self.tab(number)))

    @rule(number=TABS, text=WORDS)
    def ask(self, number: int, text: int) -> None:
        tab = self.tab(number)
        shown = tab.mirror.shown(self.conversation)
        parent = {"parent": shown[-1]["id"]} if shown else {}
        self.act(tab, "message.send", conversation=self.conversation, text=self.texts[text], **parent)

    @rule(number=TABS, place=PLACES, text=WORDS)
    def edit(self, number: int, place: int, text: int) -> None:
        tab = self.tab(number)
        if question := self.shown(tab, "user", place):
            self.act(tab, "message.edit", message=question, text=self.texts[text])

    @rule(number=TABS, place=PLACES)
    def regenerate(self, number: int, place: int) -> None:
        tab = self.tab(number)
        if reply := self.shown(tab, "assistant", place):
            self.act(tab, "reply.regenerate", reply=reply)

    @rule(number=TABS, place=PLACES)
    def go_on(self, number: int, place: int) -> None:
        tab = self.tab(number)
        if reply := self.shown(tab, "assistant", place):
            self.act(tab, "reply.continue", reply=reply)

    @rule(number=TABS)
    def stop(self, number: int) -> None:
        async def send() -> None:
            if reply := tab.mirror.live(self.conversation):
                tab.post({"type": "reply.stop", "reply": reply["id"]})
                await heard(tab)

        tab = self.tab(number)
        self.run(send())

    @rule(number=TABS, place=PLACES)
    def switch_branch(self, number: int, place: int) -> None:
        shown = self.tab(number).mirror.shown(self.conversation)
        elsewhere = [pk for message in shown for pk in message["siblings"] if pk != message["id"]]
        if elsewhere:
            self.post("branch", message=elsewhere[place % len(elsewhere)])

    @rule(text=st.sampled_from(["A title", "Ein anderer"]))
    def rename(self, text: str) -> None:
        self.post("rename", title=text)

    def post(self, action: str, **fields: str) -> None:
        assert self.browser.post(f"/c/{self.conversation}/{action}/", fields).status_code == 200

    @rule(number=TABS)
    def look(self, number: int) -> None:
        self.run(heard(self.tab(number)))

    @rule(number=TABS, tokens=st.integers(1, 3))
    def let_the_model_speak(self, number: int, tokens: int) -> None:
        """A few more tokens of the newest stream, which one of the tabs waits to hear of."""
        asked = len(self.model.requests)
        if asked:
            self.gates[asked - 1].release(tokens)
            self.run(heard(self.tab(number)))

    @rule(number=TABS, tokens=st.integers(1, 3))
    def let_the_model_go_on(self, number: int, tokens: int) -> None:
        self.let_the_model_speak(number, tokens)

    @rule(number=TABS)
    def let_it_end(self, number: int) -> None:
        tab = self.tab(number)
        self.release_all()
        if tab.is_open:
            self.run(done(tab))
        self.hold_tokens()

    @rule(patience=st.integers(0, 3))
    def all_comes_to_rest(self, patience: int) -> None:
        if patience == 0:
            self.settle()
            self.hold_tokens()

    # --- what must hold

    def teardown(self) -> None:
        try:
            if self.conversation:
                self.settle()
        finally:
            self.release_all()
            for tab in self.tabs:
                self.run(tab.close())
            self.runner.close()

    def release_all(self) -> None:
        for gate in self.gates:
            gate.release()

    def settle(self) -> None:
        """Let everything end that has begun, then compare each tab with a new one and with the database."""
        self.release_all()
        for tab in self.tabs:
            self.run(connected(tab))  # what it sent before a break may be under way still, until it is answered
        for tab in self.tabs:
            self.run(answered(tab))
        live = Message.objects.filter(owner=self.user, status__in=Message.LIVE)
        wait_until(lambda: not live.exists(), "the end of all replies")
        fresh = self.run(self.fresh_view())
        for tab in self.tabs:
            self.run(shows(tab, self.conversation, fresh))
        self.compare_with_database(fresh)

    async def fresh_view(self) -> dict[str, Any]:
        async with self.new_tab() as tab:
            await tab.until(lambda: self.conversation in tab.mirror.conversations, "a fresh snapshot")
            return tab.mirror.view(self.conversation)

    def compare_with_database(self, fresh: dict[str, Any]) -> None:
        rows = {str(row.pk): row for row in Message.objects.filter(conversation=self.conversation)}
        for message in fresh["messages"]:
            row = rows[message["id"]]
            assert (row.status, row.text, row.epoch) == (message["status"], message["text"], message["epoch"])
        for tab in self.tabs:
            for pk, seen in tab.replies.items():
                if seen.status and seen.epoch == rows[pk].epoch:
                    assert (seen.status, seen.text) == (f"reply.{rows[pk].status}", rows[pk].text)
        questions = [row.client_id for row in rows.values() if row.client_id]
        assert len(questions) == len(set(questions))


async def connected(tab: Tab) -> None:
    if not tab.is_open:
        await tab.connect()


async def heard(tab: Tab) -> None:
    """Give the tab the time of one event, if one comes soon."""
    before = len(tab.heard)
    try:
        await tab.until(lambda: len(tab.heard) > before or not tab.is_open, "an event", 0.05)
    except AssertionError as error:
        if "not within" not in str(error):
            raise


async def done(tab: Tab) -> None:
    """Wait until the tab has no command open and shows no live reply."""
    await tab.until(lambda: not tab.outbox and not tab.mirror.live(tab.conversation), "the end of what is shown")


async def answered(tab: Tab) -> None:
    """Wait until the server has dealt with all that the tab sent."""
    await tab.until(lambda: not tab.outbox, "answers to all commands")
    pongs = sum(event["type"] == "pong" for event in tab.heard)
    await tab.send(type="ping")
    await tab.until(lambda: sum(event["type"] == "pong" for event in tab.heard) > pongs, "a pong")


async def shows(tab: Tab, conversation: str, fresh: dict[str, Any]) -> None:
    try:
        await tab.until(lambda: tab.mirror.view(conversation) == fresh, "a tab to show what a new one is shown")
    except AssertionError as error:
        different = [
            (name, mine[name], theirs[name])
            for mine, theirs in zip(tab.mirror.view(conversation)["messages"], fresh["messages"], strict=False)
            for name in mine
            if mine[name] != theirs[name]
        ]
        raise AssertionError(f"{different} of {tab.mirror.view(conversation)} against {fresh}: {error}") from None


def test_any_interleaving_ends_with_every_tab_showing_what_a_new_one_is_shown(
    live_stack: Stack, fake_model: FakeModelServer
) -> None:
    make_persona()
    Chatting.stack, Chatting.model = live_stack, fake_model
    run_state_machine_as_test(Chatting, settings=PROFILE)


class AskingTheFaq(Chatting):
    """The same with a persona that answers from the FAQ: from sources, as they stand, or not at all."""

    texts: ClassVar = [
        "How do I reset the PIN of my card?",
        "Which volcano on Iceland erupted last winter?",
        "I want to change something about my card, is there a number for it?",
        "Thanks!",
    ]

    @rule(number=TABS, place=PLACES)
    def ask_for_a_person(self, number: int, place: int) -> None:
        shown = self.tab(number).mirror.shown(self.conversation)
        offering = [message["id"] for message in shown if message["offers"]]
        if offering:
            url = f"/m/{offering[place % len(offering)]}/person/"
            assert self.browser.post(url).status_code == 200

    def compare_with_database(self, fresh: dict[str, Any]) -> None:
        super().compare_with_database(fresh)
        for message in fresh["messages"]:
            row = Message.objects.get(pk=message["id"])
            assert (row.source or "", row.offers or []) == (message["source"], message["offers"])
            cited = list(row.citations.order_by("number").values_list("number", flat=True))
            assert cited == [citation["number"] for citation in message["citations"]]


@pytest.mark.parametrize("mode", ["context", "direct"])
def test_the_same_holds_for_replies_that_come_of_the_faq(
    live_stack: Stack, fake_model: FakeModelServer, mode: str
) -> None:
    make_knowledge()
    make_knowing_persona(mode)
    AskingTheFaq.stack, AskingTheFaq.model = live_stack, fake_model
    run_state_machine_as_test(AskingTheFaq, settings=settings(PROFILE, max_examples=max(1, EXAMPLES // 5)))
