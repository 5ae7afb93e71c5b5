"""A short run of the fuzzer over every operation, on real processes. The long one is ``stress_tests.api_fuzz``."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from chatbot_project.lib.api import parsing
from conversations.tests.factories import make_persona
from conversations.tests.stack import Stack
from stress_tests import api_fuzz_rules
from stress_tests.api_fuzz import MODEL, WITHOUT_LIMITS, Fuzz, Plan
from stress_tests.api_fuzz_people import People
from stress_tests.fake_model import FakeModelServer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    # Of schemathesis's own strategies.
    pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning"),
]

# Which values a schema cannot tell from good ones is found out by long runs (api_fuzz_rules.py); a short one, whose
# requests depend on how far it comes, stands for the rest: no fault, no answer that is not in the schema, no way past
# signing in, no use after deletion.
JUDGED_IN_LONG_RUNS = {"positive_data_acceptance", "negative_data_rejection"}


@pytest.fixture(scope="module")
def server(django_db_setup: None, fake_model_session: FakeModelServer) -> Iterator[Stack]:
    with Stack(fake_model_session.base_url, **WITHOUT_LIMITS) as stack:
        yield stack


def test_no_request_finds_a_fault_or_an_answer_that_the_schema_does_not_tell(
    transactional_db: None, server: Stack
) -> None:
    make_persona(slug="fuzz", colour="blue", model=f"fake/{MODEL}")
    server.resume_workers()
    plan = Plan(
        cases=900,
        seconds=40,
        callers=("user", "nobody", "admin"),
        examples=1,
        phases=("examples", "fuzzing", "stateful"),
    )
    report = Fuzz(server.url, People(), plan).run()
    promised = {key: found for key, found in report.findings.items() if key[0] not in JUDGED_IN_LONG_RUNS}
    assert promised == {}, report.text()
    assert not report.errors, report.text()
    assert report.cases >= 100
    assert set(report.by_caller) >= {"user"}


def test_the_rules_know_the_parsers_bounds() -> None:
    assert api_fuzz_rules.MAX_DEPTH == parsing.MAX_DEPTH


@pytest.mark.parametrize(
    ("wrong", "plain"),
    [
        ("in body - violates `type` at /properties/refresh (was string, became integer)", True),
        ("in body - violates `type` at /properties/tags (was array, became object)", False),
        ("in body\n  - violates `type` at /properties/all (was boolean, became number)", True),
        ("in body\n  - violates `type` at /a (was string, became number)\n  - violates `required` at /", False),
        ("in query - violates `type` at /limit (was integer, became string)", False),
    ],
)
def test_only_plain_values_of_another_type_are_read_as_meant(wrong: str, plain: bool) -> None:
    failure = SimpleNamespace(message=f"Invalid data should have been rejected\nInvalid component: {wrong}")
    assert api_fuzz_rules._is_read_as_meant(failure) is plain
