"""Proxies: what one is, how its URL is read, and in which order an account prefers them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote, urlsplit

_PORTS = {"http": 80, "https": 443, "socks5": 1080}


@dataclass(frozen=True)
class Proxy:
    """One way out. `url` holds no credentials, so it may be logged; they stand beside it."""

    name: str
    group: str
    url: str  # scheme://host:port
    credentials: tuple[str, str] | None = field(default=None, repr=False)  # user, password
    egress: str | None = field(default=None, compare=False)  # the address that `proxy test` saw last
    most_accounts: int = field(default=20, compare=False)  # that may go out by its address

    @property
    def way_out(self) -> str:
        """Name what the marketplaces see of it: two proxies may go out by one address."""
        return self.egress or self.name


def parse_proxy_url(text: str) -> tuple[str, tuple[str, str] | None]:
    """Take `scheme://user:password@host:port` apart into the URL without credentials, and those.

    Raises ValueError with a sentence that holds nothing of the text.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        raise ValueError("a proxy's URL cannot be read: write it as http://user:password@host:port") from None
    if parts.scheme not in _PORTS:
        raise ValueError("a proxy's URL must begin with http://, https:// or socks5://")
    if not parts.hostname or "@" in parts.path:
        raise ValueError("a proxy's URL must name a host; write / ? # @ in a password as %2F %3F %23 %40")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("a proxy's URL must end after the port; write / ? # @ in a password as %2F %3F %23 %40")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    credentials = None
    if parts.username is not None:
        credentials = (unquote(parts.username), unquote(parts.password or ""))
    return f"{parts.scheme}://{host}:{port}", credentials


def ranked(proxies: Sequence[Proxy], account_id: str) -> list[Proxy]:
    """Return them as the account prefers them: its own first, and the same one as long as it is there.

    Rendezvous hash: when a proxy is lost, only its accounts move, each to its second.
    """
    return [proxies[number] for number in _ranks(tuple(proxy.name for proxy in proxies), account_id)]


@lru_cache(maxsize=1024)  # 50 proxies cost 50 us, for each request
def _ranks(names: tuple[str, ...], account_id: str) -> tuple[int, ...]:
    def weight(number: int) -> bytes:
        return hashlib.blake2b(f"{account_id} {names[number]}".encode(), digest_size=8).digest()

    return tuple(sorted(range(len(names)), key=weight, reverse=True))
