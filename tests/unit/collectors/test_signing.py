"""Which credentials go to which host."""

import pytest

from collectors.registry import STREAMS, find_marketplace
from collectors.stream import Request
from collectors.wildberries.api import CONTENT, FINANCE


def request(host: str) -> Request:
    return Request(method="GET", host=host, path="/")


def test_wildberries_takes_the_token_of_the_hosts_category_or_the_one_for_all() -> None:
    sign = find_marketplace("wildberries").sign
    secret = {"token": "for all", "finance": "for finance"}
    assert sign(secret, request(FINANCE)) == {"Authorization": "for finance"}
    assert sign(secret, request(CONTENT)) == {"Authorization": "for all"}


@pytest.mark.parametrize("name", list(STREAMS))
def test_a_field_that_the_secret_lacks_is_named(name: str) -> None:
    marketplace = find_marketplace(name)
    with pytest.raises(KeyError, match=marketplace.secret_fields[0]):
        marketplace.sign({}, request(min(marketplace.hosts - marketplace.logins.keys())))
