"""Does an answer's time tell whether an address has an account? Asks a running server, known and unknown in turn.

    python -m stress_tests.enumeration_timing --url http://127.0.0.1:8000 --known 'known-{n}@example.org' --rounds 40

Prints the median times in milliseconds and, for signing in, signing up and asking for a reset, the median of what known
takes longer than unknown when both are asked right after each other; ends with 1 if that is 10 ms or more either way.
``{n}`` in the known address counts the rounds. The server limits tries by source and by address, so more than a few
rounds need that many known accounts, and TRUSTED_PROXY_HOPS=1 at the server: each request then comes with a forwarded
address of its own. Pairs that the limits refuse (429) are left out. A password takes a quarter of a second to hash, so
on a busy machine take many rounds.
"""

import argparse
import asyncio
import random
import re
import statistics
import sys
import time

import aiohttp

LIMIT_MS = 10.0
FORMS = {
    "sign in": ("/accounts/sign-in/", {"password": "not the password"}),
    "sign up": ("/accounts/sign-up/", {"password": "correct horse battery"}),
    "reset": ("/accounts/password/forgot/", {}),
}


async def ask(url: str, path: str, form: dict[str, str], source: str) -> tuple[int, float]:
    """Post the form from a fresh browser; the status and the milliseconds the post took."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(url + path) as page:
            found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', await page.text())
        if found is None:
            raise SystemExit(f"{url}{path} shows no form.")
        headers = {"X-Forwarded-For": source, "X-Forwarded-Proto": "http", "Referer": url + path}
        data = {**form, "csrfmiddlewaretoken": found.group(1)}
        started = time.perf_counter()
        async with browser.post(url + path, data=data, headers=headers, allow_redirects=False) as answer:
            await answer.read()
            return answer.status, (time.perf_counter() - started) * 1000


async def compare(url: str, name: str, known: str, rounds: int) -> bool:
    """Print one line; whether known and unknown lie within the limit of each other."""
    path, fields = FORMS[name]
    pairs: list[tuple[float, float]] = []
    for number in range(rounds):
        addresses = [known.replace("{n}", str(number)), f"ghost-{time.time_ns()}@example.org"]
        answers = [(0, 0.0), (0, 0.0)]
        for which in random.sample((0, 1), 2):
            source = f"10.{number % 250}.{which}.{len(name)}"
            answers[which] = await ask(url, path, {**fields, "email": addresses[which]}, source)
        if answers[0][0] != 429 and answers[1][0] != 429:
            pairs.append((answers[0][1], answers[1][1]))
    if not pairs:
        print(f"{name:8} nothing to compare: every pair was refused")
        return False
    difference = statistics.median(first - second for first, second in pairs)
    medians = [statistics.median(times) for times in zip(*pairs, strict=True)]
    print(
        f"{name:8} known {medians[0]:7.1f} ms   unknown {medians[1]:7.1f} ms   "
        f"difference {difference:+5.1f} ms   ({len(pairs)} of {rounds} pairs)"
    )
    return abs(difference) < LIMIT_MS


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--known", required=True, help="an address that has an account")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    results = [await compare(options.url.rstrip("/"), name, options.known, options.rounds) for name in FORMS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
