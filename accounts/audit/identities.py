"""Who is behind a pseudonym, and the end of that."""

from django.db import transaction

from accounts.models import AuditIdentity, User


def forget(person: User) -> bool:
    """Destroy what ties the trail to ``person``: their pseudonym's name, and the key of the reasons given about them.

    The trail's rows stay, and verify as before. What is recorded of the person from now on tells of nobody. In the
    caller's transaction; deleting the person's row does the same. Returns whether there was anything to destroy.
    """
    with transaction.atomic():
        gone, _ = AuditIdentity.objects.filter(person=person).delete()
    return gone > 0
