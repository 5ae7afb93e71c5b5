"""Does an answer's time tell whether an address has an account? Asks a running server, known and unknown in turn.

Both the pages and the JSON API are asked.

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
from typing import Any

import aiohttp

LIMIT_MS = 10.0
SIGN_IN, SIGN_UP = {"password": "not the password"}, {"password": "correct horse battery"}
API = "/api/"
FORMS = {
    "sign in": ("/accounts/sign-in/", SIGN_IN),
    "sign up": ("/accounts/sign-up/", SIGN_UP),
    "reset": ("/accounts/password/forgot/", {}),
    "sign in, API": (f"{API}v1/auth/login", SIGN_IN),
    "sign up, API": (f"{API}v1/auth/register", SIGN_UP),
    "reset, API": (f"{API}v1/auth/password/reset", {}),
}


async def ask(url: str, path: str, form: dict[str, str], source: str) -> tuple[int, float]:
    """Post the form, or the same as JSON, from a fresh browser; the status and the milliseconds the post took."""
    headers = {"X-Forwarded-For": source, "X-Forwarded-Proto": "http"}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        if path.startswith(API):
            await (await browser.get(f"{url}/healthz")).read()  # so that both kinds post on an open connection
            return await timed(browser, url + path, headers, json=form)
        async with browser.get(url + path) as page:
            found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', await page.text())
        if found is None:
            raise SystemExit(f"{url}{path} shows no form.")
        data = {**form, "csrfmiddlewaretoken": found.group(1)}
        return await timed(browser, url + path, {**headers, "Referer": url + path}, data=data)


async def timed(
    browser: aiohttp.ClientSession, address: str, headers: dict[str, str], **body: Any
) -> tuple[int, float]:
    started = time.perf_counter()
    async with browser.post(address, headers=headers, allow_redirects=False, **body) as answer:
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
            source = f"10.{number % 250}.{which}.{list(FORMS).index(name)}"
            answers[which] = await ask(url, path, {**fields, "email": addresses[which]}, source)
        if answers[0][0] != 429 and answers[1][0] != 429:
            pairs.append((answers[0][1], answers[1][1]))
    if not pairs:
        print(f"{name:12} nothing to compare: every pair was refused")
        return False
    difference = statistics.median(first - second for first, second in pairs)
    medians = [statistics.median(times) for times in zip(*pairs, strict=True)]
    print(
        f"{name:12} known {medians[0]:7.1f} ms   unknown {medians[1]:7.1f} ms   "
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
