"""``python -m stress_tests.bench_hostile``: what the costliest texts cost, and whether that grows with their length.

Each text that a test holds to linear work is made in two lengths and timed, so that what runs in C (regular
expressions, Unicode) counts too. Prints the seconds of processor time for the longer one and the ratio to the shorter,
best of three; ends with 1 where a ratio of what takes longer than 50 ms is above 3 (linear is 2, quadratic 4).
"""

import os
import sys
import time
from collections.abc import Callable, Iterator

LONG = 200_000  # characters
SLOW_S = 0.05
WORST_RATIO = 3.0


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_project.settings")
    import django

    django.setup()
    worst = 0.0
    for kind, piece, work in _cases():
        shorter, longer = (_seconds(work, piece * (size // len(piece))) for size in (LONG // 2, LONG))
        ratio = longer / shorter
        print(f"{kind:12} {piece!r:32} {longer:6.3f} s  x {ratio:.2f}", flush=True)
        if longer > SLOW_S:
            worst = max(worst, ratio)
    print(f"worst ratio of what takes longer than {SLOW_S:g} s: {worst:.2f} (linear 2, at most {WORST_RATIO:g})")
    sys.exit(worst > WORST_RATIO)


def _cases() -> Iterator[tuple[str, str, Callable[[str], object]]]:
    from chatbot_project.lib.pii import find
    from chatbot_project.lib.tests import test_pii
    from chatbot_project.lib.text import clean_text
    from conversations.safety.rules import RuleSet
    from conversations.tests import test_safety_rules
    from faqs.tests import test_translation_markdown
    from faqs.translation_markdown import split_markdown

    rules = RuleSet([test_safety_rules.rule(f"word{number} bomb") for number in range(500)])
    yield from (("pii", piece, find) for piece in test_pii.HOSTILE)
    yield from (("rules", piece, lambda text: rules.strongest(text, "input")) for piece in test_safety_rules.HOSTILE)
    yield from (("translation", piece, split_markdown) for piece in test_translation_markdown.HOSTILE)
    yield "text", "e\u0301\u0327", clean_text


def _seconds(work: Callable[[str], object], text: str) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        work(text)
        best = min(best, time.process_time() - began)
    return best


if __name__ == "__main__":
    main()
