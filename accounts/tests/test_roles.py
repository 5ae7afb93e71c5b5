import pytest

from accounts.models import User
from accounts.roles import Role


@pytest.mark.parametrize(
    ("role", "permission", "allowed"),
    [
        (Role.USER, "personas.view_persona", False),
        (Role.MODERATOR, "personas.view_persona", True),
        (Role.MODERATOR, "personas.change_persona", False),
        (Role.MODERATOR, "personas.publish_persona", False),
        (Role.MODERATOR, "accounts.change_role", False),
        (Role.MODERATOR, "conversations.read_text", True),
        (Role.ADMIN, "accounts.change_role", True),
        (Role.ADMIN, "anything.at_all", True),
        ("unknown", "personas.view_persona", False),
    ],
)
def test_a_role_may_do_what_is_listed(role: str, permission: str, allowed: bool) -> None:
    assert User(role=role).has_perm(permission) is allowed


@pytest.mark.parametrize(
    ("role", "staff", "superuser", "module"),
    [(Role.USER, False, False, False), (Role.MODERATOR, True, False, True), (Role.ADMIN, True, True, True)],
)
def test_who_enters_the_admin(role: Role, staff: bool, superuser: bool, module: bool) -> None:
    user = User(role=role)
    assert (user.is_staff, user.is_superuser, user.has_module_perms("personas")) == (staff, superuser, module)


def test_a_suspended_admin_may_do_nothing() -> None:
    admin = User(role=Role.ADMIN, is_active=False)
    assert not admin.is_staff
    assert not admin.is_superuser
    assert not admin.has_perm("personas.view_persona")
    assert not admin.has_perms(["personas.view_persona"])
    assert not admin.has_module_perms("personas")
