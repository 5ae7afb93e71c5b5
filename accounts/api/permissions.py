"""Who may call an endpoint. What a role may do is said in accounts/roles.py alone.

A view lists one of these in ``permission_classes``. What an API key has to be good for is ``read`` for safe methods and
``write`` for others; a view that wants another scope names it per method:

    class SendView(APIView):
        permission_classes = [PersonRequired]
        scopes = {"POST": Scope.CHAT}
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts.api.authentication import credential_of, person_of
from accounts.audience import visibilities_for
from accounts.credentials import Kind
from accounts.models import User
from accounts.restriction import refuse_if_restricted
from accounts.scopes import Scope
from accounts.second_factor import SecondFactorNeeded
from chatbot_project.lib.errors import ApplicationError

if TYPE_CHECKING:  # rest_framework.views loads the settings' permissions, so these, while it is loaded itself
    from rest_framework.views import APIView

#: By method, or under ``"*"``: what a role must have, one permission or several.
Permissions = Mapping[str, str | tuple[str, ...]]


class PersonRequired(BasePermission):
    """Anybody who is signed in, guests included; an API key within its scopes.

    Nobody: 401. A key without the scope: ``scope_missing`` (403). Staff without the second factor that their role asks
    for, where it is the role that is wanted: ``second_factor_needed`` (403). Where processing is paused,
    for what would go on with it: ``processing_restricted`` (403).
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not isinstance(request.user, User):
            return False
        needed = self.scope(request, view)
        if needed not in credential_of(request).scopes:
            if needed == Scope.STAFF and request.user.lacks_second_factor:
                raise SecondFactorNeeded
            detail = _("This API key lacks the scope “%(scope)s”.") % {"scope": needed}
            raise ApplicationError("scope_missing", detail, status=403)
        refuse_if_restricted(request, request.user)
        return True

    def scope(self, request: Request, view: "APIView") -> Scope:
        """The scope that an API key needs for this call."""
        usual = Scope.READ if request.method in SAFE_METHODS else Scope.WRITE
        scopes: dict[str, Scope] = getattr(view, "scopes", {})
        return scopes.get(request.method or "", usual)


class PersonOrNobody(PersonRequired):
    """Everybody; but who is signed in is held to their key's scopes."""

    lets_nobody_in = True  # the schema asks

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return super().has_permission(request, view) if isinstance(request.user, User) else True


class Reader(PersonOrNobody):
    """Everybody, for what each may read of something published (``audience_of``). A key needs the scope ``read``, or
    ``staff`` where its person is staff."""

    def scope(self, request: Request, view: "APIView") -> Scope:
        return Scope.STAFF if acts_as_staff(request) else super().scope(request, view)


class MemberRequired(PersonRequired):
    """People with an account. Guests: ``account_needed`` (403)."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not super().has_permission(request, view):
            return False
        if person_of(request).is_guest:
            raise ApplicationError("account_needed", _("You need an account for this."), status=403)
        return True


class OwnSignIn(PersonRequired):
    """People, guests included, who signed in themselves: no API key manages the account that it belongs to.

    A key: ``key_not_enough`` (403).
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not super().has_permission(request, view):
            return False
        if credential_of(request).kind == Kind.API_KEY:
            raise ApplicationError("key_not_enough", _("An API key cannot do this: sign in yourself."), status=403)
        return True

    def scope(self, request: Request, view: "APIView") -> Scope:
        return Scope.READ


class MemberSignIn(OwnSignIn, MemberRequired):
    """People with an account who signed in themselves."""


class MayDo(PersonRequired):
    """People whose role has what the view names in ``permissions``, per method or under ``"*"``; with a key, also its
    scope ``staff``.

        permissions = {"*": "faqs.view_faq", "POST": ("faqs.add_faq", "faqs.publish_faq")}

    Of several, all are needed. A method that is named under neither is nobody's. Others: ``forbidden`` (403).
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not super().has_permission(request, view):
            return False
        permissions: Permissions = view.permissions  # type: ignore[attr-defined]  # the view must name them
        named = permissions.get(request.method or "", permissions.get("*", ()))
        needed = (named,) if isinstance(named, str) else named
        return bool(needed) and request.user.has_perms(needed)

    def scope(self, request: Request, view: "APIView") -> Scope:
        return Scope.STAFF


def acts_as_staff(request: Request) -> bool:
    """Whether the caller is staff and, with a key, has its scope ``staff``: without it, a key adds nothing to what any
    person may do."""
    user = request.user
    return isinstance(user, User) and user.is_staff


def may(request: Request, permission: str) -> bool:
    """Whether ``MayDo`` would let the caller do ``permission``."""
    return acts_as_staff(request) and request.user.has_perm(permission)


def audience_of(request: Request) -> list[str]:
    """The visibilities of what the caller may read."""
    return visibilities_for(request.user)
