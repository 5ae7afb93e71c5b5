"""Which checks every answer goes through, and what is no finding, with the reason."""

import re
from collections.abc import Mapping
from typing import Any

from schemathesis.openapi.checks import RejectedPositiveData

from chatbot_project.lib.api.parsing import MAX_DEPTH

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
    "Idempotency-Key": "the header's octets as they arrive, which need not be those that were meant",
}


def is_told_by_the_schema(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether a failed check is a finding (schemathesis keeps it where this is true)."""
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 400:
        return True
    told = response.json()
    if told["code"] == "malformed":
        return not _is_beyond_the_parser(case.body)
    fields = told.get("fields", {})
    return not fields or not all(name.split(".")[0] in JUDGED_BY_MORE_THAN_SHAPE for name in fields)


def _is_beyond_the_parser(value: Any, depth: int = 0) -> bool:
    """Whether a JSON value holds what the parser takes from nobody, fields that are ignored included: numbers of more
    than 64 bits, characters that cannot be stored, too many levels (chatbot_project/lib/api/parsing.py)."""
    if isinstance(value, str):
        return bool(re.search("[\x00\ud800-\udfff]", value))
    if isinstance(value, int):
        return not -(2**63) <= value < 2**63
    if isinstance(value, (dict, list)):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return depth >= MAX_DEPTH or any(_is_beyond_the_parser(each, depth + 1) for each in inner)
    return False
