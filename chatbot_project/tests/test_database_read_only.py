"""A server that answers and takes no writes, as after a failover: it is as good as away."""

import pytest
from django.db import OperationalError, connection, transaction

from accounts.models import User
from accounts.tests.factories import make_user
from chatbot_project.lib.db import fetch_prepared

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_server_that_takes_no_writes_is_away_and_its_connection_given_up() -> None:
    """As after a failover, while a connection is still to the server that was taken over from."""
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        cursor.execute("SELECT pg_backend_pid()")
        (before,) = cursor.fetchone()
    with pytest.raises(OperationalError, match="read-only"):
        fetch_prepared("DELETE FROM conversations_message", [])
    connection.close()  # as every unit of work ends
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), current_setting('default_transaction_read_only')")
        pid, read_only = cursor.fetchone()
    assert (pid != before, read_only) == (True, "off")


def test_within_a_transaction_as_well() -> None:
    owner = make_user()
    with pytest.raises(OperationalError, match="read-only"):
        write_though_only_reading_is_allowed(owner)
    connection.close()
    assert User.objects.filter(pk=owner.pk).exists()


@transaction.atomic
def write_though_only_reading_is_allowed(owner: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
    User.objects.filter(pk=owner.pk).update(username="Nobody")
