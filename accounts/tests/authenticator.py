"""Authenticator apps for tests, with a clock that the tests move."""

from typing import Any

import pytest
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp import models as otp_models

from accounts import authenticators
from accounts.models import User


class Clock:
    """What the server takes for the time, in seconds."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


class App:
    """Shows codes of one secret, a new one every 30 seconds of the clock."""

    def __init__(self, clock: Clock, key: str) -> None:
        self.clock, self.key = clock, key

    def code(self, *, steps: int = 0) -> str:
        """What it shows now, or so many steps from now."""
        totp = TOTP(bytes.fromhex(self.key))
        totp.time = self.clock.now + 30 * steps
        return f"{totp.token():06d}"

    def next_code(self) -> str:
        """One that was never shown before: half a minute later."""
        self.clock.now += 30
        return self.code()


class Enrolled:
    """A person with an authenticator."""

    def __init__(self, clock: Clock, user: User) -> None:
        key = authenticators.new_key()
        self.app = App(clock, key)
        done = authenticators.turn_on(user=user, key=key, code=self.app.code())
        assert done is not None
        self.user, self.recovery_codes = done


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(otp_models, "time", clock)
    return clock


@pytest.fixture
def enrol(clock: Clock) -> Any:
    """Give a person an authenticator."""
    return lambda user: Enrolled(clock, user)
