"""Breaker, router, providers, addresses, token estimates: no network, and a clock that only a test moves."""

import pytest

from chatbot_project.lib.env import BadSetting
from chatbot_project.lib.llm.breaker import Breaker
from chatbot_project.lib.llm.errors import LLMRateLimited, LLMRefused, LLMTimeout, LLMUnavailable, error_from_status
from chatbot_project.lib.llm.providers import Provider, goes_outside, parse_model, providers_from_env
from chatbot_project.lib.llm.router import BreakerOpen, Router
from chatbot_project.lib.llm.tokens import estimate_tokens, token_weight
from chatbot_project.lib.llm.transport import retry_after
from chatbot_project.lib.llm.types import RetryPolicy


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker(clock, threshold=3, open_seconds=10)


def fail(breaker, times):
    for _ in range(times):
        breaker.failure()


def test_breaker_opens_after_failures_in_a_row_only(breaker):
    fail(breaker, 2)
    breaker.success()
    fail(breaker, 2)
    assert breaker.admit()
    breaker.failure()
    assert breaker.state == "open"
    assert not breaker.admit()


def test_half_open_breaker_lets_one_probe_through_and_its_success_closes(breaker, clock):
    fail(breaker, 3)
    clock.now += 10
    assert breaker.state == "half_open"
    assert breaker.admit()
    assert not breaker.admit()
    breaker.success()
    assert breaker.state == "closed"
    assert breaker.admit()


def test_failed_probe_opens_the_breaker_for_the_whole_time_again(breaker, clock):
    fail(breaker, 3)
    clock.now += 10
    assert breaker.admit()
    breaker.failure()
    clock.now += 9.9
    assert not breaker.admit()
    clock.now += 0.1
    assert breaker.admit()


def test_an_abandoned_or_lost_probe_blocks_nobody(breaker, clock):
    fail(breaker, 3)
    clock.now += 10
    assert breaker.admit()
    breaker.abandon()
    assert breaker.admit()
    clock.now += 10
    assert breaker.admit()


def test_late_failures_do_not_prolong_an_open_breaker(breaker, clock):
    fail(breaker, 3)
    clock.now += 9
    breaker.failure()
    clock.now += 1
    assert breaker.admit()


def test_who_was_away_for_a_moment_is_asked_again_soon_and_who_stays_away_seldom(clock):
    breaker = Breaker(clock, threshold=3, open_seconds=3, first_seconds=1)
    fail(breaker, 3)
    for rest in (1, 2, 3, 3):
        clock.now += rest - 0.1
        assert not breaker.admit()
        clock.now += 0.1
        assert breaker.admit()
        breaker.failure()
    clock.now += 3
    assert breaker.admit()
    breaker.success()
    fail(breaker, 3)
    clock.now += 1
    assert breaker.admit(), "the next absence begins anew"


def test_rests_grow_as_is_wanted(clock):
    breaker = Breaker(clock, threshold=1, open_seconds=2, first_seconds=1, growth=1.5)
    breaker.failure()
    for rest in (1, 1.5, 2, 2):
        clock.now += rest - 0.1
        assert not breaker.admit()
        clock.now += 0.1
        assert breaker.admit()
        breaker.failure()


PROVIDERS = {"a": Provider("a", "http://a/v1"), "b": Provider("b", "http://b/v1")}


class Attempts:
    """An attempt that plays a list of outcomes and remembers who was asked."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.asked = []

    async def __call__(self, provider, name):
        self.asked.append(f"{provider.name}/{name}")
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


@pytest.fixture
def slept():
    return []


@pytest.fixture
def router(clock, slept):
    async def sleep(seconds):
        slept.append(seconds)

    policy = RetryPolicy(attempts=3, backoff=1.0, retry_after_cap=5.0)
    return Router(PROVIDERS, policy, make_breaker=lambda: Breaker(clock, threshold=5), sleep=sleep)


async def test_router_tries_again_with_growing_waits_then_falls_back(router, slept):
    attempts = Attempts(LLMUnavailable("1"), LLMUnavailable("2"), LLMUnavailable("3"), "answer")
    assert await router.first(["a/m", "b/n/with/slashes"], attempts) == "answer"
    assert attempts.asked == ["a/m", "a/m", "a/m", "b/n/with/slashes"]
    assert len(slept) == 2
    assert 0.5 <= slept[0] <= 1.0 <= slept[1] <= 2.0


async def test_retry_after_is_honoured_up_to_the_cap(router, slept):
    assert await router.first(["a/m"], Attempts(LLMRateLimited("", wait=4.5), "answer")) == "answer"
    assert slept == [4.5]


async def test_a_longer_retry_after_is_left_for_the_next_model(router, slept):
    attempts = Attempts(LLMRateLimited("", wait=120), "answer")
    assert await router.first(["a/m", "b/m"], attempts) == "answer"
    assert slept == []
    assert attempts.asked == ["a/m", "b/m"]


@pytest.mark.parametrize("error", [LLMRefused("no"), LLMTimeout("late")])
async def test_what_another_try_cannot_change_is_not_tried_again(router, slept, error):
    attempts = Attempts(error, "answer")
    assert await router.first(["a/m", "b/m"], attempts) == "answer"
    assert attempts.asked == ["a/m", "b/m"]
    assert slept == []


async def test_the_first_models_error_is_told_when_all_fail(router):
    first = LLMRateLimited("first", wait=60)
    with pytest.raises(LLMRateLimited) as caught:
        await router.first(["a/m", "b/m", "nobody/m"], Attempts(first, LLMRefused("second")))
    assert caught.value is first
    assert caught.value.retry_after == 60


async def test_open_breaker_is_not_asked_and_refusals_do_not_open_it(router):
    for _ in range(10):
        with pytest.raises(LLMRefused):
            await router.first(["a/m"], Attempts(LLMRefused("no")))
    for _ in range(5):
        with pytest.raises(LLMTimeout):
            await router.first(["a/m"], Attempts(LLMTimeout("late")))
    attempts = Attempts("from b")
    assert await router.first(["a/m", "b/m"], attempts) == "from b"
    assert attempts.asked == ["b/m"]
    with pytest.raises(BreakerOpen):
        await router.first(["a/m"], Attempts())


async def test_what_comes_before_an_attempt_is_awaited_for_each_that_is_made(router):
    awaited = []

    async def before(provider):
        awaited.append(provider)

    attempts = Attempts(LLMUnavailable("1"), LLMRefused("2"), "from b")
    assert await router.first(["a/m", "b/m"], attempts, before=before) == "from b"
    assert awaited == ["a", "a", "b"]
    for _ in range(5):
        router.breaker("a").failure()
    awaited.clear()
    assert await router.first(["a/m", "b/m"], Attempts("from b"), before=before) == "from b"
    assert awaited == ["b"]


@pytest.fixture
def patient(clock):
    """A router whose providers rest for a moment after each failure."""

    async def sleep(seconds):
        clock.now += seconds

    def make_breaker():
        return Breaker(clock, threshold=1, open_seconds=5, first_seconds=0.8)

    policy = RetryPolicy(attempts=1, patience=1.0)
    return Router(PROVIDERS, policy, make_breaker=make_breaker, sleep=sleep)


async def fail_once(router, ref):
    with pytest.raises(LLMTimeout):
        await router.first([ref], Attempts(LLMTimeout("late")))


async def test_the_end_of_a_short_rest_is_waited_for_where_there_is_no_other_model(patient, clock):
    await fail_once(patient, "a/m")
    began = clock.now
    assert await patient.first(["a/m"], Attempts("answer")) == "answer"
    assert 0.8 <= clock.now - began <= 0.9


async def test_nobody_waits_for_a_rest_where_another_model_may_be_asked(patient, clock):
    await fail_once(patient, "a/m")
    began, attempts = clock.now, Attempts("from b")
    assert await patient.first(["a/m", "b/m"], attempts) == "from b"
    assert (attempts.asked, clock.now) == (["b/m"], began)


async def test_patience_ends_where_who_tries_gets_no_answer(patient, clock):
    await fail_once(patient, "a/m")
    clock.now += 0.8
    assert patient.breaker("a").admit(), "somebody tries, and hears nothing"
    began = clock.now
    with pytest.raises(BreakerOpen):
        await patient.first(["a/m"], Attempts())
    assert 0 < clock.now - began <= 1.0


async def test_no_model_at_all_is_a_refusal(router):
    with pytest.raises(LLMRefused):
        await router.first([], Attempts())


def test_providers_come_from_their_values():
    found = providers_from_env(
        custom={"vllm": {"base_url": "https://models.example/v1/", "api_key": "k"}},
        openai_api_key="o",
        ollama_host="ollama:1234",
        nvidia_api_key="n",
        local_url="http://127.0.0.1:9/v1",
    )
    assert {name: provider.base_url for name, provider in found.items()} == {
        "openai": "https://api.openai.com/v1",
        "nvidia": "https://integrate.api.nvidia.com/v1",
        "ollama": "http://ollama:1234/v1",
        "local": "http://127.0.0.1:9/v1",
        "vllm": "https://models.example/v1",
    }
    assert [found[name].api_key for name in ("openai", "nvidia", "ollama", "vllm")] == ["o", "n", "", "k"]
    assert providers_from_env(custom={}) == {}


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434/v1"),
        (":8000", "http://127.0.0.1:8000/v1"),
        ("0.0.0.0:11434", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("[::1]", "http://[::1]:11434/v1"),
        ("https://ollama.example/", "https://ollama.example/v1"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(host, url):
    assert providers_from_env(custom={}, ollama_host=host)["ollama"].base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/v1", "host/v1", "http://", "http://user:secret@host/v1", "http://secret@host",
        "http://h/v1?key=secret", "http://169.254.169.254/v1", "http://[::ffff:a9fe:a9fe]/v1",
        "http://[fd00:ec2::254]/", "http://0.0.0.0/v1", "http://0x7f.1/v1", "http://2130706433/v1",
        "http://0177.0.0.1/v1", "http://host:99999/v1", "http://a b/v1", "http://host\\@other/v1", "http://[::1/v1",
    ],
)  # fmt: skip
def test_a_bad_provider_url_names_the_variable_and_no_value(url):
    with pytest.raises(BadSetting, match="LLM_PROVIDERS, provider mine") as caught:
        providers_from_env(custom={"mine": {"base_url": url, "api_key": "k"}})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [None, "x", {}, {"base_url": 3}, {"base_url": "http://h", "key": "x"}, {"base_url": "http://h", "api_key": 3}],
)
def test_a_misshaped_provider_is_refused(fields):
    with pytest.raises(BadSetting, match="mine"):
        providers_from_env(custom={"mine": fields})


def test_a_provider_never_shows_its_key():
    assert "secret" not in repr(Provider("a", "http://a/v1", "secret"))
    assert "secret" not in f"{Provider('a', 'http://a/v1', 'secret')}"


@pytest.mark.parametrize("ref", ["", "m", "/m", "a/", "nobody/m"])
def test_a_model_that_nobody_has_is_refused(ref):
    with pytest.raises(LLMRefused):
        parse_model(ref, PROVIDERS)


def test_a_models_name_may_hold_slashes():
    assert parse_model("a/meta/llama-3:70b", PROVIDERS) == (PROVIDERS["a"], "meta/llama-3:70b")


def test_estimates_follow_the_formula_and_add_up():
    assert estimate_tokens("") == 0
    assert estimate_tokens("a" * 40) == 10
    assert estimate_tokens("你好世界") == 4
    assert estimate_tokens("привет") == 3
    text = "Ein Satz, ein 词 und 😀."
    assert token_weight(text) == pytest.approx(sum(map(token_weight, text)))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None), ({"retry-after": "3"}, 3), ({"retry-after": "-3"}, 0), ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None), ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "250", "retry-after":
        "9"}, 0.25), ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)  # fmt: skip
def test_retry_after_is_read_in_all_its_shapes(headers, seconds):
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, LLMRefused, "llm_refused"), (401, LLMRefused, "llm_refused"), (302, LLMRefused, "llm_refused"),
        (408, LLMTimeout, "llm_timeout"), (429, LLMRateLimited, "llm_rate_limited"),
        (500, LLMUnavailable, "llm_unavailable"), (529, LLMUnavailable, "llm_unavailable"),
    ],
)  # fmt: skip
def test_every_status_has_its_error_and_code(status, kind, code):
    error = error_from_status("a/m", status, {"error": {"message": "sk-secret", "code": "some_code"}})
    assert type(error) is kind
    assert error.code == code
    assert "secret" not in error.detail


def test_a_spent_quota_is_no_rate_limit():
    assert isinstance(error_from_status("a/m", 429, {"error": {"code": "insufficient_quota"}}), LLMRefused)


@pytest.mark.parametrize(
    ("url", "is_outside"),
    [
        ("https://api.openai.com/v1", True),
        ("https://models.example.com:8443/v1", True),
        ("http://8.8.8.8/v1", True),
        ("http://[2606:4700::1]/v1", True),
        ("http://127.0.0.1:11434/v1", False),
        ("http://localhost:8080/v1", False),
        ("http://[::1]:8080/v1", False),
        ("http://192.168.7.3/v1", False),
        ("http://ollama:11434/v1", False),
        ("https://models.internal/v1", False),
        ("https://localhost.example.com/v1", True),
        ("https://127.0.0.1.example.com/v1", True),
    ],
)
def test_a_provider_is_outside_unless_its_address_says_otherwise(url, is_outside):
    registry = {"near": Provider("near", "http://localhost/v1"), "it": Provider("it", url)}
    assert registry["it"].is_outside is is_outside
    assert goes_outside(["near/a", "it/b"], registry) is is_outside
    assert not goes_outside(["near/a", "gone/b"], registry)
