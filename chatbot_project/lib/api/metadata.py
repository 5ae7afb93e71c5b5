"""What OPTIONS tells of an address: its methods, in the Allow header. All else stands in the schema."""

from typing import Any

from rest_framework.metadata import BaseMetadata
from rest_framework.request import Request


class Nothing(BaseMetadata):
    def determine_metadata(self, request: Request, view: Any) -> dict[str, Any]:
        """An empty body."""
        return {}
