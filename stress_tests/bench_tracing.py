"""What tracing costs a reply: ``python -m stress_tests.bench_tracing [--replies 2000] [--json FILE]``.

Makes all spans of a reply (acceptance, waiting, work, model with its event, saving, one task) as web, worker and Celery
do, in one process, and counts that process's processor time, the sending thread's included; what the collector on
loopback takes is in another. Off, not sampled, and on; about 3 µs of each is the reply's id.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

ROUNDS = 3


def collect(pipe: Connection) -> None:
    """A collector in a process of its own: tells its address, then, when asked, how many spans came."""
    from .otlp_receiver import Receiver

    with Receiver() as receiver:
        pipe.send(receiver.url)
        pipe.recv()
        pipe.send(len(receiver.spans))


def one_reply() -> None:
    """The calls that the product makes for a reply."""
    from chatbot_project.lib import tracing
    from chatbot_project.lib.ids import uuid7

    reply = uuid7()
    with tracing.request_began():
        tracing.question_accepted(reply, again=False)
    with tracing.reply_taken_up(reply, waited=0.01, epoch=1):
        with tracing.step("model") as call:
            call.note("first token")
            call.say(model="fake/echo", prompt_tokens=100)
            call.say(completion_tokens=60)
        with tracing.step("saving") as saving:
            saving.say(status="completed", code=None)
        carried = tracing.carried()
    with tracing.task("conversations.tasks.make_title", carried):
        pass


def microseconds(work: Callable[[], None], times: int) -> float:
    """Processor time of this process for one call, all its threads included; the least of a few rounds."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - began) / times * 1e6)
    return min(found)


def measured(replies: int) -> dict[str, Any]:
    """Microseconds a reply: ``off``, ``not_sampled`` and ``on``, and how many spans arrived of how many replies."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    collector = multiprocessing.get_context("spawn").Process(target=collect, args=(there,), daemon=True)
    collector.start()
    os.environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": here.recv(), "OTEL_BSP_MAX_QUEUE_SIZE": "100000"}
    import django

    django.setup()
    from django.conf import settings

    from chatbot_project.lib import tracing

    found: dict[str, Any] = {"off": microseconds(one_reply, replies)}
    settings.TRACING = 1e-12
    tracing.start("bench")
    found["not_sampled"] = microseconds(one_reply, replies)
    settings.TRACING = 1.0
    found["on"] = microseconds(one_reply, replies)
    tracing.stop()
    here.send(None)
    return found | {"replies_traced": ROUNDS * replies, "spans_arrived": here.recv()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; 1 where spans were lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replies", type=int, default=2000)
    parser.add_argument("--json", help="a file for the figures")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_project.settings")
    found = measured(options.replies)
    for name in ("off", "not_sampled", "on"):
        print(f"{name:12} {found[name]:8.1f} µs of processor a reply")
    print(f"{found['spans_arrived']} spans arrived of {found['replies_traced']} replies")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(found, file, indent=2)
    return int(found["spans_arrived"] != 6 * found["replies_traced"])


if __name__ == "__main__":
    sys.exit(main())
