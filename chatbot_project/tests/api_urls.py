"""A few endpoints that use each of the API's shared parts, for their tests."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from chatbot_project.lib.api.etag import etag_of, is_known, require_match
from chatbot_project.lib.api.idempotency import idempotent
from chatbot_project.lib.api.paging import read_page
from chatbot_project.lib.errors import ApplicationError

ORDERINGS = {"username": ("username",), "-created_at": ("-created_at", "-id"), "mixed": ("-language", "username")}
effects: list[Any] = []


class ItemSerializer(serializers.Serializer[Any]):
    title = serializers.CharField(max_length=10)
    parts = serializers.ListField(child=serializers.IntegerField(), required=False)


class OpenView(APIView):
    permission_classes = [AllowAny]


class EchoView(OpenView):
    def post(self, request: Request) -> Response:
        return Response({"data": request.data})


class LargeView(EchoView):
    max_body_bytes = 2 * 1024 * 1024


class ItemView(OpenView):
    def post(self, request: Request) -> Response:
        item = ItemSerializer(data=request.data)
        item.is_valid(raise_exception=True)
        return Response(item.validated_data, status=201)


class PeopleView(OpenView):
    def get(self, request: Request) -> Response:
        page = read_page(User.objects.all(), request.query_params, orderings=ORDERINGS, usual_limit=3)
        return Response(page.answer([person.username for person in page.rows]))


class VersionedView(OpenView):
    revision = 1

    def get(self, request: Request) -> Response:
        etag = etag_of("item", self.revision)
        if is_known(request, etag):
            return Response(status=304, headers={"ETag": etag})
        return Response({"revision": self.revision}, headers={"ETag": etag})

    def patch(self, request: Request) -> Response:
        require_match(request, etag_of("item", self.revision))
        return Response({"revision": self.revision + 1})


class EffectView(APIView):
    @idempotent()
    def post(self, request: Request) -> Response:
        if "fail" in request.data:
            raise ApplicationError("refused", "No.", status=409)
        if "wait" in request.data:
            hold()
        effects.append(request.data)
        return Response({"number": len(effects)}, status=201, headers={"Location": f"/{len(effects)}", "X-Other": "1"})


class SecretView(APIView):
    @idempotent(keeps_answer=False)
    def post(self, request: Request) -> Response:
        effects.append("secret")
        return Response({"secret": "nono_sk_1"}, status=201)


def hold() -> None:
    """Replaced by a test."""


RAISED: dict[str, Exception] = {
    "application": ApplicationError("teapot", "Short and stout.", status=418, retry_after=7),
    "validation": ValidationError({"title": ["Too long."], "__all__": ["Odd."]}),
    "plain-validation": ValidationError("Odd."),
    "database": OperationalError("away"),
    "data": DataError("integer out of range"),
    "fault": ZeroDivisionError(),
}


class RaisingView(OpenView):
    def get(self, request: Request, name: str) -> Response:
        raise RAISED[name]


def plain(request: HttpRequest, name: str) -> HttpResponse:
    raise RAISED[name]


class NumberView(OpenView):
    def get(self, request: Request) -> Response:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::int", [request.query_params["n"]])
        return Response({})


test_patterns = [
    path("echo", EchoView.as_view()),
    path("large", LargeView.as_view()),
    path("items", ItemView.as_view()),
    path("people", PeopleView.as_view()),
    path("versioned", VersionedView.as_view()),
    path("effects", EffectView.as_view()),
    path("secrets", SecretView.as_view()),
    path("raise/<name>", RaisingView.as_view()),
    path("plain/<name>", plain),
    path("number", NumberView.as_view()),
]
urlpatterns = [path("api/test/", include(test_patterns)), path("", include("chatbot_project.urls"))]
