"""Tokens and keys, below the endpoints."""

import pytest

from accounts import api_keys, families
from accounts.scopes import Scope

pytestmark = pytest.mark.django_db


def test_pair(owner, django_assert_num_queries):
    pair = families.open_family(user=owner, device="x")
    with django_assert_num_queries(1):
        assert families.person_of(pair.access)[0] == owner
    nxt = families.refresh(token=pair.refresh)
    with pytest.raises(families.TokenRefused):
        families.refresh(token=pair.refresh)
    with pytest.raises(families.TokenRefused):
        families.refresh(token=nxt.refresh)
    key, text = api_keys.create_key(user=owner, name="x", scopes=[Scope.READ])
    assert api_keys.find_key(text) == key
