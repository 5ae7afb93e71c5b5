"""Browsers of the people who read and who edit."""

from django.test import Client

from accounts.models import User


def client_of(person: User | None = None, **options: object) -> Client:
    """A browser in which ``person``, or nobody, is signed in."""
    client = Client(**options)
    if person is not None:
        client.force_login(person)
    return client


def text_of(client: Client, address: str, query: object = None) -> str:
    """The page at ``address``, which has to be there."""
    answer = client.get(address, query)
    assert answer.status_code == 200, (address, answer.status_code)
    return answer.content.decode()
