"""A client whose model is the fake model server."""

from contextlib import asynccontextmanager
from time import monotonic

import pytest

from chatbot_project.lib.llm.breaker import Breaker
from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.llm.types import ChatMessage, ChatRequest, Deadlines, RetryPolicy
from stress_tests.fake_model import FakeModelServer, closed_port

REQUEST = ChatRequest([ChatMessage("system", "Be brief."), ChatMessage("user", "Hello there")], max_tokens=50)
MODEL = "fake/fake"


@pytest.fixture(scope="session")
def fake_model_session():
    """A server of these tests' own: they count its connections, and other tests' processes keep some open."""
    server = FakeModelServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def make_client(fake_model):
    """``make_client(**limits)``: an LLMClient of a healthy provider ``fake``, ``other`` on the same server, ``dead``
    nowhere.

    The limits are those of ``Deadlines``; retries wait a millisecond, and for a provider's rest ``patience`` seconds.
    ``slots`` are streams at once, by provider. ``breaker`` says what its breakers do other than usually.
    """

    @asynccontextmanager
    async def make(*, attempts=3, bounds=None, slots=None, patience=0, breaker=None, **limits):
        providers = {
            "fake": Provider("fake", fake_model.base_url, "key-of-fake"),
            "other": Provider("other", fake_model.base_url),
            "dead": Provider("dead", f"http://127.0.0.1:{closed_port()}/v1"),
        }
        more = {} if bounds is None else {"bounds": bounds}
        if breaker is not None:
            more["make_breaker"] = lambda: Breaker(monotonic, **breaker)
        retries = RetryPolicy(attempts=attempts, backoff=0.001, retry_after_cap=0.05, patience=patience)
        async with LLMClient(providers, deadlines=Deadlines(**limits), retries=retries, slots=slots, **more) as client:
            yield client

    return make


@pytest.fixture
async def client(make_client):
    async with make_client() as client:
        yield client


@pytest.fixture
async def resting_client(make_client):
    """One whose breakers, once open, stay so for as long as a test takes, on whatever machine."""
    async with make_client(breaker={"first_seconds": 600}) as client:
        yield client
