"""Does an answer's time tell whether an address has an account? Asks a running server, known and unknown in turn.

    python -m stress_tests.enumeration_timing --url http://127.0.0.1:8000 --known admin@localhost --rounds 30

Prints the medians in milliseconds and their difference for signing in, signing up and asking for a reset; ends with 1 if
a difference is 10 ms or more. The server limits tries by source and address, so ``--rounds`` beyond its limits needs
TRUSTED_PROXY_HOPS=1 at the server: each request then comes with a forwarded address of its own, and each unknown
address is a new one. What the limits refuse (429) is left out and counted.
"""

import argparse
import asyncio
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
    """Print one line; whether the medians lie within the limit of each other."""
    path, fields = FORMS[name]
    times: dict[str, list[float]] = {"known": [], "unknown": []}
    refused = 0
    for number in range(rounds):
        kinds = {"known": known, "unknown": f"ghost-{time.time_ns()}@example.org"}
        order = list(kinds) if number % 2 else list(reversed(kinds))
        for index, kind in enumerate(order):
            source = f"10.{number % 250}.{index}.{time.time_ns() % 250}"
            status, milliseconds = await ask(url, path, {**fields, "email": kinds[kind]}, source)
            if status == 429:
                refused += 1
            else:
                times[kind].append(milliseconds)
    if not all(times.values()):
        print(f"{name:8} nothing to compare: {refused} refused")
        return False
    medians = {kind: statistics.median(values) for kind, values in times.items()}
    difference = abs(medians["known"] - medians["unknown"])
    counted = min(map(len, times.values()))
    print(
        f"{name:8} known {medians['known']:7.1f} ms   unknown {medians['unknown']:7.1f} ms   "
        f"difference {difference:5.1f} ms   ({counted} each, {refused} refused)"
    )
    return difference < LIMIT_MS


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
