"""Where a request goes, and what it carries: who may see the credentials is decided here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

import msgspec

from collectors.errors import AccountRefused, Malformed
from collectors.login import Login
from collectors.stream import Answer, Marketplace, Request, Secret

_HOST = re.compile(r"[a-z0-9.-]+(:443)?", re.IGNORECASE)  # of a link that the marketplace gave us
_HEADER = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")  # what may be the value of a header


@dataclass(frozen=True)
class Target:
    """A request as it goes over the wire."""

    url: str
    headers: Mapping[str, str] = field(repr=False)  # the credentials are among them
    content: bytes | None = field(repr=False)  # of a login, the keys are in it


def target(
    request: Request,
    marketplace: Marketplace,
    secret: Secret,
    *,
    hosts: Mapping[str, str],  # a vendor's host → the https address where it really is
    now: Callable[[], datetime],
) -> Target:
    """Address and sign a request.

    Raises AccountRefused if the secret cannot sign it, Malformed if the marketplace sent us to a host that is not its.
    """
    _check_host(request, marketplace, hosts, now)
    headers = {
        "Host": request.host,
        "Accept": "application/json, */*;q=0.8",
        "Accept-Encoding": "gzip",
        "Connection": "keep-alive",
        "User-Agent": USER_AGENT,
    }
    login = login_for(request, marketplace)
    body = request.body if login is None else login.body(secret)
    content = None
    if body is not None:
        content = msgspec.json.encode(body)
        headers["Content-Type"] = "application/json"
    if request.signed and login is None:
        headers |= _signature(request, marketplace, secret)
    base = hosts.get(request.host, f"https://{request.host}")
    return Target(f"{base}/{request.path.removeprefix('/')}", headers, content)


def login_for(request: Request, marketplace: Marketplace) -> Login | None:
    """Return the login that the request itself is, if it is one."""
    login = marketplace.logins.get(request.host)
    return login if login is not None and request == login.request else None


def _check_host(
    request: Request, marketplace: Marketplace, hosts: Mapping[str, str], now: Callable[[], datetime]
) -> None:
    host = request.host.lower()
    if request.signed:
        if host not in marketplace.hosts:
            raise ValueError(f"a stream of {marketplace.name} would show the credentials to {request.host}")
        return
    if host in hosts:
        return
    if not _HOST.fullmatch(host) or not host.removesuffix(":443").endswith(marketplace.file_hosts):
        answer = Answer(request=request, status=0, headers={}, body=b"", fetched_at=now())
        raise Malformed(
            f"{marketplace.name} linked to a file at {request.host!r}, which is not one of its hosts", answer
        )


def _signature(request: Request, marketplace: Marketplace, secret: Secret) -> dict[str, str]:
    try:
        signature = dict(marketplace.sign(secret, request))
    except KeyError as missing:
        raise AccountRefused(f"the secret of this account lacks {missing.args[0]!r}") from None
    for name, value in signature.items():
        # Refused here, because the error of h11 would quote the value.
        if not _HEADER.fullmatch(value):
            raise AccountRefused(f"the secret of this account cannot be sent as {name}: it is empty or not plain ASCII")
    return signature


def _version() -> str:
    try:
        return version("bronze-collector")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"


USER_AGENT = f"bronze-collector/{_version()}"
