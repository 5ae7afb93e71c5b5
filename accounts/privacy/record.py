"""docs/privacy.md: the record of processing activities (GDPR Art. 30), written from the registry."""

from collections.abc import Iterable
from itertools import groupby

from django.utils import translation

from accounts.models import RetentionPolicy
from accounts.privacy.registry import (
    PersonalData,
    files,
    personal_data,
    redis_keys,
    without_personal_data,
)
from accounts.retention.policies import POLICIES

HEAD = """# Personal data: the record of processing

Made by `manage.py privacy_docs` from what each app declares (`accounts/privacy/declared.py`, `places.py` beside it and
each app's `privacy.py`): change that, not this page. A model, a family of Redis keys or a place of files that is
declared nowhere fails the tests.

It is the technical part of the record that GDPR Art. 30 asks for. Whoever runs an installation is its controller and
adds their name, contact and, where there is one, data protection officer; and names as recipients those whom they have
configured: the providers of models (`LLM_PROVIDERS` and the like: the conversation as far as the prompt needs it), the
mail server (`EMAIL_URL`: address and letter), the host of database, Redis and logs. Where a provider is outside the EU,
the transfer needs its own ground. The embedded model, database and Redis send nothing anywhere.

Whose data: people with an account, guests, and staff. Security: [architecture.md](architecture.md) and the checks of
`manage.py check --deploy`."""

KEYS = """What SECRET_KEY opens: copies that wait to be fetched and the secrets of authenticator apps (each under a
key made of it for its owner alone, AES-256-GCM), links in mails, sessions, and the keyed hashes of the log of
erasures. A dump of the database without it reads none of them. To change it:

1. Put the new key into `SECRET_KEY` and the old one into `SECRET_KEY_FALLBACKS`, for all processes. Nobody is signed
   out.
2. `manage.py reseal_secrets` encrypts the secrets of authenticator apps under the new key. It may be run at any time
   and again, and ends with 1 where a secret is under a key that it does not know.
3. After two weeks nothing else that counts is under the old key, **but the log of erasures**: what it says of people
   who were erased before is found again only under the key of that time. Keep the old key in `SECRET_KEY_FALLBACKS`
   as long as there are backups from before those erasures, or `manage.py replay_erasures` would not know whom to
   erase.

A key that leaked is taken out at once all the same, and `manage.py reseal_secrets` run before that; sessions,
links and copies under it are good no longer. Where a key is lost, recovery codes still sign in, and a second
factor is reset."""


PERIODS = """Each is a number of days, 36,500 at most, from the setting (`.env.example` shows the defaults) or,
over it, from an admin (*Retention policies*, with a reason, recorded). It holds at once: what is over is shown no more,
and removed by the next run.

What a **legal hold** keeps stays, and so does what belongs to a person whose **processing is paused** (Art. 18: it is
stored, and nothing else is done with it); every run says how many rows that were. Their own request for erasure goes on
all the same, except under a hold: then it waits until that is released.

The record of actions has no period: its chain shows that nothing is missing only while all of it is there, and erasing
a person makes it anonymous. Links to reset a password are kept nowhere: each is signed, works once and for an hour.
Records of background tasks are one row a task, with nothing of anybody. What lies in Redis runs out by itself."""


def record_page() -> str:
    """The whole page as Markdown."""
    parts = [
        HEAD,
        "## Purposes",
        _table(("purpose", "legal ground (Art. 6 (1))", "what is used"), _purposes()),
        "## What is held of people",
        *map(_entry, personal_data()),
        "## For how long",
        PERIODS,
        _table(("setting", "what", "kept for good"), _periods()),
        "## Keys",
        KEYS,
        "## Redis",
        "Nothing in Redis is worth keeping, and none of it is saved to disk by the embedded one.",
        _table(
            ("keys", "what", "of people", "kept", "erasure"),
            (
                (
                    f"`{each.pattern}`",
                    each.about,
                    each.holds or "nothing",
                    each.kept,
                    _redis_erasure(each.holds, each.erase),
                )
                for each in redis_keys()
            ),
        ),
        "## Files below VAR_DIR",
        _table(
            ("place", "what", "of people", "kept", "erasure"),
            (
                (f"`{each.place}`", each.about, each.holds or "nothing", each.kept, each.erasure_note or "–")
                for each in files()
            ),
        ),
        "## Models without personal data",
        _table(("model", "why"), ((f"`{each.model._meta.label}`", each.why) for each in without_personal_data())),
    ]
    return "\n\n".join(parts) + "\n"


def _purposes() -> Iterable[tuple[str, str, str]]:
    def purpose(each: PersonalData) -> tuple[str, str]:
        return each.purpose, each.basis

    for (words, basis), entries in groupby(sorted(personal_data(), key=purpose), key=purpose):
        yield words, basis, ", ".join(f"`{each.label}`" for each in entries)


def _periods() -> Iterable[tuple[str, str, str]]:
    with translation.override("en"):
        for name, policy in POLICIES.items():
            yield f"`{policy.setting}`", str(RetentionPolicy.Class(name).label), "0" if policy.for_good else "never"


def _entry(each: PersonalData) -> str:
    fields = ", ".join(f"`{name}`" for name in each.exported)
    export = f"`{each.section}`: {fields}" if each.section else f"not in it: {each.not_exported}"
    since = f" Counts from `{each.retention.since}`." if each.retention.since else ""
    names = ", ".join(f"`{POLICIES[name].setting}`" for name in each.retention.policies)
    policies = f" Days: {names}." if names else ""
    others = "".join(f" `{name}`: {what}." for name, what in each.references.items())
    return "\n".join(
        [
            f"### `{each.label}`",
            "",
            f"{each.about}.",
            "",
            f"- Class: {each.data_class}. Legal ground: {each.basis}.",
            f"- Export: {export}",
            f"- Erasure: {each.erasure}. {each.erasure_note}{others}",
            f"- Kept: {each.retention.rule}{since}{policies}",
            *([f"- People's own words: {', '.join(f'`{name}`' for name in each.written)}"] if each.written else []),
        ]
    )


def _redis_erasure(holds: str, erase: object) -> str:
    if not holds:
        return "–"
    return "deleted" if erase else "runs out"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
