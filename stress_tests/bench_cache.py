"""What the cache of replies saves: ``python -m stress_tests.bench_cache [--asks 3000] [--questions 500]``.

First questions by Zipf's law, written in many ways (question_mix.py), are put to two personas through a real reply
worker: one without the FAQ, and one that gives what the FAQ surely answers as it stands. A call of the model is what
the fake model server was asked, whatever the product says. Then 200 people ask the same at once. Everything runs in a
temporary directory, on loopback. Exits with 1 where what is wanted is missed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .bench_stack import Stack
from .fake_model import FakeModelServer
from .fake_script import Script
from .faq_corpus import make_corpus
from .question_mix import make_mix, make_questions
from .reporting import Check, at_end, describe_machine

FAQS, PHRASINGS = 60, 12
PEOPLE = 200
AT_ONCE = 40
SAME_AT_ONCE = 200
WANTED = 0.70
# Cites its first source, as a model does that answers from sources.
REPLY = Script(tokens=["At ", "the ", "desk ", "[1]."], first_ms=150, token_ms=10)
PERSONAS = {
    "alone": {"cache_hours": 24, "model": "bench/fake", "visibility": "guests"},
    "with-faq": {
        "cache_hours": 24,
        "model": "bench/fake",
        "visibility": "guests",
        "faq_mode": "direct",
        "context_budget": 2000,
    },
    "off": {"model": "bench/fake", "visibility": "guests"},
}


def saved(calls: int, counts: dict[str, int]) -> float:
    """The share of replies that would each have been a call of the model and were none. Where nothing approved answers,
    no model would have been asked either: these do not count."""
    needed = sum(counts.values()) - counts.get("unknown", 0)
    return 1 - calls / needed if needed else 0.0


def by_then(how: Sequence[str], parts: int = 4) -> list[float]:
    """The share saved in each of ``parts`` equal stretches, the first begins with an empty cache."""
    length = max(1, len(how) // parts)
    shares = []
    for start in range(0, length * parts, length):
        stretch = [each for each in how[start : start + length] if each != "unknown"]
        shares.append(round(1 - stretch.count("model") / len(stretch), 3) if stretch else 0.0)
    return shares


def measure(asks: int, questions: int, exponent: float, seed: int) -> dict[str, Any]:
    """All phases on a stack of their own. Raises StackError."""
    corpus = list(make_corpus(FAQS, PHRASINGS, seed=seed))
    mix = make_mix(make_questions(corpus, questions, seed=seed), asks, exponent=exponent, seed=seed)
    model = FakeModelServer(REPLY)
    provider = {"bench": {"base_url": model.start(), "api_key": "x"}}
    overrides = {"LLM_PROVIDERS": json.dumps(provider), "LOG_LEVEL": "WARNING", "REPLY_SLOTS": str(SAME_AT_ONCE)}
    machine, result = describe_machine(), dict[str, Any]()
    try:
        with Stack(users=PEOPLE, personas={}, overrides=overrides) as stack:
            given = {"faqs": FAQS, "phrasings": PHRASINGS, "personas": PERSONAS}
            stack.python("-m", "stress_tests.bench_cache_run", "make", given=given)

            def phase(persona: str, texts: list[str], at_once: int) -> dict[str, Any]:
                before = len(model.requests)
                wanted = {"persona": persona, "texts": texts, "at_once": at_once}
                found: dict[str, Any] = stack.python("-m", "stress_tests.bench_cache_run", "ask", given=wanted)
                calls = len(model.requests) - before
                share = round(saved(calls, found["counts"]), 4)
                return found | {"calls": calls, "saved": share, "by_then": by_then(found.pop("how"))}

            result["different"] = len({ask.number for ask in mix})
            for persona in ("alone", "with-faq"):
                result[persona] = phase(persona, [ask.text for ask in mix], AT_ONCE)
            for persona in ("alone", "off"):
                result[f"same, {persona}"] = phase(persona, ["Which way is the sea?"] * SAME_AT_ONCE, SAME_AT_ONCE)
    finally:
        model.stop()
    return {"machine": at_end(machine), **result}


def checks(result: dict[str, Any]) -> list[Check]:
    """What is wanted against what was found."""
    share, same = result["with-faq"]["saved"], result["same, alone"]["calls"]
    return [
        Check("calls saved, with direct answers", f"at least {WANTED:.0%}", f"{share:.1%}", share >= WANTED),
        Check(f"calls for {SAME_AT_ONCE} of the same at once", "1", str(same), same == 1),
    ]


def told(result: dict[str, Any]) -> str:
    lines = [f"{result['different']} different questions; share of the model's calls saved, by quarters of the asks"]
    for name in ("alone", "with-faq", "same, alone", "same, off"):
        phase = result[name]
        quarters = " ".join(f"{share:.0%}" for share in phase["by_then"])
        lines.append(
            f"{name:12} {phase['calls']:5} calls, saved {phase['saved']:6.1%} ({quarters}); {phase['counts']}; "
            f"{phase['seconds']} s"
        )
    lines += [f"{check.verdict:8} {check.name}: {check.found} (wanted: {check.limit})" for check in checks(result)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stress_tests.bench_cache", description=__doc__.partition(":")[0])
    parser.add_argument("--asks", type=int, default=3000)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--exponent", type=float, default=1.0, help="of Zipf's law (1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    result = measure(options.asks, options.questions, options.exponent, options.seed)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(told(result))
    sys.exit(not all(check.passed for check in checks(result)))


if __name__ == "__main__":
    main()
