"""Credentials go to the marketplace's own hosts, and to nobody else."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from collectors.errors import AccountRefused, Malformed
from collectors.ozon.api import OZON, SELLER
from collectors.ozon.performance import LOGIN, PERFORMANCE
from collectors.stream import Request
from worker.http.targets import Target, target

SECRET = {"client_id": "12345", "api_key": "canary-key"}


def of(
    *, secret: Mapping[str, str] = SECRET, hosts: Mapping[str, str] | None = None, host: str = SELLER, **request: Any
) -> Target:
    asked = Request(method="POST", host=host, path="/v3/product/list", **request)
    return target(asked, OZON, secret, hosts=hosts or {}, now=lambda: datetime(2026, 11, 21, tzinfo=UTC))


def test_a_signed_request_goes_to_the_vendor_with_the_credentials() -> None:
    goes = of(body={"limit": 1})
    assert goes.url == "https://api-seller.ozon.ru/v3/product/list"
    assert goes.headers["Api-Key"] == "canary-key"
    assert goes.headers["Accept-Encoding"] == "gzip"
    assert goes.headers["User-Agent"].startswith("bronze-collector/")
    assert goes.content == b'{"limit":1}'
    assert "canary" not in repr(goes)


def test_another_address_changes_where_it_goes_and_not_whom_it_is_for() -> None:
    goes = of(hosts={SELLER: "https://127.0.0.1:8443"})
    assert goes.url == "https://127.0.0.1:8443/v3/product/list"
    assert goes.headers["Host"] == SELLER


def test_a_file_is_fetched_without_credentials() -> None:
    goes = of(host="cdn.ozone.ru", signed=False)
    assert "canary" not in str(dict(goes.headers))
    goes = of(host="files.example.com", signed=False, hosts={"files.example.com": "https://127.0.0.1:1"})
    assert goes.url == "https://127.0.0.1:1/v3/product/list"


@pytest.mark.parametrize(
    "host", ["evil.com", "ozon.ru.evil.com", "xozon.ru", "evil.com/.ozon.ru", "u@cdn.ozon.ru", "cdn.ozon.ru:22", ""]
)
def test_a_link_to_a_host_that_is_not_the_marketplaces_is_not_followed(host: str) -> None:
    with pytest.raises(Malformed, match="not one of its hosts"):
        of(host=host, signed=False)


def test_a_signed_request_to_a_foreign_host_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="would show the credentials"):
        of(host="cdn.ozone.ru")


def test_a_secret_without_a_field_names_the_field() -> None:
    with pytest.raises(AccountRefused, match="lacks 'client_id'"):
        of(secret={"api_key": "canary"})


@pytest.mark.parametrize("value", ["", "canary\r\nHost: evil.com", "ключ-canary", " canary", "canary\n"])
def test_a_secret_that_no_header_can_carry_is_refused_without_being_quoted(value: str) -> None:
    with pytest.raises(AccountRefused, match="cannot be sent as Api-Key") as caught:
        of(secret={"client_id": "1", "api_key": value})
    assert "canary" not in str(caught.value)


def test_the_keys_of_a_login_are_in_what_is_sent_and_in_nothing_else() -> None:
    keys = {"perf_client_id": "7@advertising", "perf_client_secret": "canary-secret"}
    request = LOGIN.request
    goes = target(request, OZON, SECRET | keys, hosts={}, now=lambda: datetime(2026, 11, 21, tzinfo=UTC))
    assert goes.content == (
        b'{"client_id":"7@advertising","client_secret":"canary-secret","grant_type":"client_credentials"}'
    )
    assert "canary" not in str(dict(goes.headers))
    assert "canary" not in f"{goes!r} {request!r} {request.stored()}"


def test_advertising_is_signed_by_the_token_and_is_not_shown_the_other_key() -> None:
    goes = of(host=PERFORMANCE, secret={**SECRET, "access_token": "canary-token"})
    assert goes.headers["Authorization"] == "Bearer canary-token"
    assert not {"Api-Key", "Client-Id"} & goes.headers.keys()
