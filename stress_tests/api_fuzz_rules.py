"""Which checks every answer goes through, and what is no finding, with the reason."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData

CHECKS: dict[str, Any] = {
    name: {"enabled": True}
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "positive_data_acceptance",
        "missing_required_header",
        "unsupported_method",
        "allow_header_conformance",
        "use_after_free",
        "ensure_resource_availability",
        "ignored_auth",
    )
}

OPERATIONS: list[dict[str, Any]] = [
    # They undo a deletion, which the check of use after deletion knows nothing of.
    {"include-path-regex": "/restore$", "phases": {"stateful": {"enabled": False}}},
]

#: As in chatbot_project/lib/api/parsing.py, which cannot be imported before there are settings.
MAX_DEPTH, MAX_BITS = 32, 63

#: Parts of a request that the schema cannot say all about: a valid shape may be refused (400), because of…
JUDGED_BY_MORE_THAN_SHAPE: Mapping[str, str] = {
    "cursor": "it is signed, and only one that a list gave is good",
    "new_password": "how easily it is guessed",
    "password": "how easily it is guessed",
    "email": "what the product takes for an address is less than what the format allows",
    "username": "whether it is taken, and what letters a name has",
    "timezone": "whether there is such a zone",
    "expires_at": "whether it lies in the future",
    "name": "whether anything that can be seen is left of it",
    "text": "whether anything that can be seen is left of it",
    "title": "whether anything that can be seen is left of it",
    "description": "whether anything that can be seen is left of it",
    "greeting": "whether anything that can be seen is left of it",
    "system_prompt": "whether anything that can be seen is left of it",
    "emoji": "whether it is one",
    "faq_categories": "whether there are such categories",
    "category": "whether there is such a category",
    "parent": "whether there is such a category, and that it stands in no circle",
    "owner": "whether there is such an editor",
    "number": "whether there is such a version",
    "old": "whether there is such a version, and that both are named",
    "new": "whether there is such a version, and that both are named",
    "persona": "whether there is such a persona",
    "version": "whether the persona that is named has it",
    "metrics": "which figures are told of a part of a period",
    "branches": "that Markdown has one of them",
    "question": "whether there is a letter in it",
    "answer": "whether anything that can be seen is left of it",
    "from": "that it comes before the end, and how long before",
    "to": "that it comes after the beginning, and how long after",
    "phrasings": "whether there is a letter in each",
    "tags": "whether anything that can be seen is left of each",
    "valid_from": "the empty text, which the fuzzer takes for a point in time",
    "valid_until": "that it comes after the beginning",
    "suggestions": "that no question stands there twice",
    "unknown_offers": "that no offer stands there twice",
    "consents": "whether that version of the policy is in force",
    "context_budget": "that the longest reply leaves room in it",
    "max_tokens": "that it has no decimal point: 7.0 is an integer to JSON Schema",
    "max_completion_tokens": "that it has no decimal point: 7.0 is an integer to JSON Schema",
    "slug": "whether it is taken",
    "contact": "what the product takes for an address",
    "model": "whether there is such a provider",
    "token": "whether anything but white space is in it",
    "messages": "whether a question is the last of them, and has a text",
    "Idempotency-Key": "the header's octets as they arrive, which need not be those that were meant",
}


def is_told_by_the_schema(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether a failed check is a finding (schemathesis keeps it where this is true)."""
    if isinstance(failure, (RejectedPositiveData, AcceptedNegativeData)) and response.status_code == 412:
        return "If-Match" not in case.headers  # a precondition is there to be refused, before the body is looked at
    if isinstance(failure, AcceptedNegativeData):
        return not _is_read_as_meant(failure)
    if not isinstance(failure, RejectedPositiveData):
        return True
    if response.status_code not in (400, 422):
        return True
    told = response.json()
    if "error" in told:  # in OpenAI's words, where messages say what the schema cannot
        told = {"code": told["error"]["code"], "fields": {told["error"]["param"] or "body": []}}
    if told["code"] == "idempotency_key_reused":
        return False  # a key that came before is there to be refused
    if told["code"] == "bad_import_file":
        return False  # what a file's rows may hold is said in docs/faqs.md, and told of each row
    if told["code"] == "malformed":
        return not (_is_beyond_the_parser(case.body) or _has_control_characters(response.request.url))
    fields = told.get("fields", {})
    return not fields or not all(name.split(".")[0] in JUDGED_BY_MORE_THAN_SHAPE for name in fields)


_WRONG = re.compile(r"Invalid component: in body(?:\n  - | - )(.+(?:\n  - .+)*)")
_PLAIN = re.compile(r".*: Incorrect type|violates `type` at .* became (number|integer|string|boolean)\)")


def _is_read_as_meant(failure: Any) -> bool:
    """Whether all that is wrong with an accepted body is the type of plain values: the REST framework reads the number
    7 as the text "7", "7" as the number and "true" as true. Lists and objects in their place it refuses."""
    wrong = _WRONG.findall(failure.message)
    each = [line for one in wrong for line in one.split("\n  - ")]
    return len(wrong) == failure.message.count("Invalid component: ") > 0 and all(map(_PLAIN.fullmatch, each))


def _has_control_characters(address: str) -> bool:
    """Whether path or query hold what is taken in no address (chatbot_project/lib/api/edge.py)."""
    return bool(re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", unquote_plus(address)))


def _is_beyond_the_parser(value: Any, depth: int = 0) -> bool:
    """Whether a JSON value holds what the parser takes from nobody, fields that are ignored included: numbers of more
    than 64 bits, characters that cannot be stored, too many levels (chatbot_project/lib/api/parsing.py)."""
    if isinstance(value, str):
        return bool(re.search("[\x00\ud800-\udfff]", value))
    if isinstance(value, int):
        return not -(2**MAX_BITS) <= value < 2**MAX_BITS
    if isinstance(value, (dict, list)):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return depth >= MAX_DEPTH or any(_is_beyond_the_parser(each, depth + 1) for each in inner)
    return False
