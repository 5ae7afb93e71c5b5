"""The category tree: what holds something for the caller, and for editors all of it."""

from typing import Any

from django.db import transaction
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.answers import PublishedView
from accounts.api.authentication import person_of
from accounts.api.examples import problem
from accounts.api.permissions import audience_of, may
from accounts.api.serializers import AnySerializer
from chatbot_project.lib.api.etag import etag_of_body, require_match, tagged
from chatbot_project.lib.api.idempotency import idempotent
from chatbot_project.lib.api.openapi import IF_MATCH, IF_NONE_MATCH, NOT_MODIFIED, page_of
from chatbot_project.lib.errors import NotFound
from faqs import categories
from faqs.api import examples
from faqs.api.editing_serializers import MAX_NUMBER, NamedField
from faqs.locks import lock_shape
from faqs.models import FAQ, Category
from faqs.reading import Tree, read_tree

VIEW, ADD = "faqs.view_category", "faqs.add_category"
CHANGE, DELETE = "faqs.change_category", "faqs.delete_category"


class CategoryStepSerializer(AnySerializer):
    slug = serializers.CharField()
    name = serializers.CharField()


class CategorySerializer(AnySerializer):
    """A category and the way to it. ``slug`` names it for good."""

    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    position = serializers.IntegerField()
    parent = serializers.CharField(  # type: ignore[assignment]  # the metaclass takes fields off the class
        allow_null=True, help_text="Its slug; null at the top."
    )
    path = CategoryStepSerializer(many=True, help_text="From the root down to this one.")
    faqs = serializers.IntegerField(
        help_text="How many the caller may read in it and below; translations of one another count once."
    )


class CategoryFilterSerializer(AnySerializer):
    empty = serializers.BooleanField(
        default=False, help_text="For moderators: also those that hold nothing that one may read."
    )


class EditCategorySerializer(AnySerializer):
    name = serializers.CharField(max_length=100)
    parent = NamedField(  # type: ignore[assignment]
        slug_field="slug",
        queryset=Category.objects.all(),
        required=False,
        allow_null=True,
        help_text="A slug: below which it stands. Null: at the top.",
    )
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)
    position = serializers.IntegerField(
        min_value=0, max_value=MAX_NUMBER, required=False, help_text="Lower numbers stand first."
    )


class NewCategorySerializer(EditCategorySerializer):
    slug = serializers.SlugField(
        max_length=categories.MAX_SLUG, required=False, help_text="Without it, one is made from the name."
    )


class CategoriesView(PublishedView):
    permissions = {"POST": ADD}

    @extend_schema(
        operation_id="faq_categories_list",
        tags=["faqs"],
        summary="FAQ categories",
        description="Those that hold something that one may read, in the order of the tree, each with its path; all on "
        "one page. Also without signing in.",
        parameters=[CategoryFilterSerializer],
        responses={200: OpenApiResponse(page_of(CategorySerializer), "Categories.", examples=[examples.CATEGORIES])},
    )
    def get(self, request: Request) -> Response:
        query = CategoryFilterSerializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        if query.validated_data["empty"] and not may(request, VIEW):
            self.permission_denied(request)
        shown = _Shown(request)
        items = [shown.body(path) for path in shown.paths if query.validated_data["empty"] or shown.holds(path[-1])]
        return Response({"items": items, "next": None})

    @extend_schema(
        operation_id="faq_categories_create",
        tags=["faqs"],
        summary="Make a category",
        description="For moderators.",
        request=NewCategorySerializer,
        responses={201: OpenApiResponse(CategorySerializer, "The category.", examples=[examples.CATEGORY])},
        examples=[examples.NEW_CATEGORY],
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        wanted = NewCategorySerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        made = categories.create_category(actor=person_of(request), **wanted.validated_data)
        body = _Shown(request).named(made.slug, with_empty=True)
        return tagged(request, body, status=201, location=f"/api/v1/faq-categories/{made.slug}")


class CategoryView(PublishedView):
    permissions = {"PATCH": CHANGE, "DELETE": DELETE}

    @extend_schema(
        operation_id="faq_categories_get",
        tags=["faqs"],
        summary="One category",
        description="One that holds nothing for the caller is absent, but for moderators.",
        parameters=[IF_NONE_MATCH],
        responses={
            200: OpenApiResponse(CategorySerializer, "The category.", examples=[examples.CATEGORY]),
            **NOT_MODIFIED,
        },
    )
    def get(self, request: Request, slug: str) -> Response:
        return tagged(request, _Shown(request).named(slug, with_empty=may(request, VIEW)))

    @extend_schema(
        operation_id="faq_categories_edit",
        tags=["faqs"],
        summary="Change or move a category",
        description="What is left out stays; with another `parent` it moves there, with all below it. For moderators.",
        parameters=[IF_MATCH],
        request=EditCategorySerializer,
        responses={
            200: OpenApiResponse(CategorySerializer, "As it is now.", examples=[examples.CATEGORY]),
            **problem(409, "It would stand below itself: `category_cycle`."),
        },
        examples=[examples.MOVE_CATEGORY],
    )
    def patch(self, request: Request, slug: str) -> Response:
        wanted = EditCategorySerializer(data=request.data, partial=True)
        wanted.is_valid(raise_exception=True)
        fields, actor = dict(wanted.validated_data), person_of(request)
        with transaction.atomic():
            category = _held(request, slug)
            if "parent" in fields:
                categories.move_category(category=category, parent=fields.pop("parent"), actor=actor)
            if fields:
                categories.edit_category(category=category, actor=actor, **fields)
        return tagged(request, _Shown(request).named(slug, with_empty=True))

    @extend_schema(
        operation_id="faq_categories_delete",
        tags=["faqs"],
        summary="Delete an empty category",
        description="For moderators.",
        parameters=[IF_MATCH],
        responses={
            204: OpenApiResponse(description="It is gone."),
            **problem(409, "There is something in it, be it archived: `category_not_empty`."),
        },
    )
    def delete(self, request: Request, slug: str) -> Response:
        with transaction.atomic():
            categories.delete_category(category=_held(request, slug), actor=person_of(request))
        return Response(status=204)


class _Shown:
    """The tree as the caller sees it. Three queries."""

    def __init__(self, request: Request) -> None:
        self.tree: Tree = read_tree(FAQ.objects.meant_for(audience_of(request)))
        self.paths = list(categories.category_paths().values())

    def holds(self, category: Category) -> bool:
        return category.pk in self.tree.branches

    def named(self, slug: str, *, with_empty: bool) -> dict[str, Any]:
        """Raises NotFound, also for a category that holds nothing unless ``with_empty``."""
        found = next((path for path in self.paths if path[-1].slug == slug), None)
        if found is None or not (with_empty or self.holds(found[-1])):
            raise NotFound
        return self.body(found)

    def body(self, path: list[Category]) -> dict[str, Any]:
        category = path[-1]
        branch = self.tree.branches.get(category.pk)
        return {
            "slug": category.slug,
            "name": category.name,
            "description": category.description,
            "position": category.position,
            "parent": path[-2].slug if len(path) > 1 else None,
            "path": [{"slug": step.slug, "name": step.name} for step in path],
            "faqs": branch.total if branch else 0,
        }


def _held(request: Request, slug: str) -> Category:
    """The category, in a tree that stays as it is until the caller's transaction ends, if it is what ``If-Match``
    names. Raises NotFound, PreconditionFailed."""
    lock_shape()
    found = Category.objects.filter(slug=slug).first()
    if found is None:
        raise NotFound
    if "If-Match" in request.headers:
        require_match(request, etag_of_body(_Shown(request).named(slug, with_empty=True)))
    return found
