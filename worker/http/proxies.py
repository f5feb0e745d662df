"""Proxies: what one is, which one an account uses, and which ones are out for a while."""

from __future__ import annotations

import hashlib
import importlib.util
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import unquote, urlsplit

_FAULTS_TO_EJECT = 3  # in a row
_COOL_DOWN = timedelta(seconds=30)  # doubled with each ejection in a row
_LONGEST_COOL_DOWN = timedelta(minutes=30)
_PORTS = {"http": 80, "https": 443, "socks5": 1080}


@dataclass(frozen=True)
class Proxy:
    """One way out. `url` holds no credentials, so it may be logged; they stand beside it."""

    name: str
    group: str
    url: str  # scheme://host:port
    credentials: tuple[str, str] | None = field(default=None, repr=False)  # user, password


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
    if parts.scheme == "socks5" and importlib.util.find_spec("socksio") is None:
        raise ValueError("a socks5 proxy needs the package socksio: install httpx[socks], or use an http proxy")
    if not parts.hostname or "@" in parts.path:
        raise ValueError("a proxy's URL must name a host; write / ? # @ in a password as %2F %3F %23 %40")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("a proxy's URL must end after the port; write / ? # @ in a password as %2F %3F %23 %40")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    credentials = None
    if parts.username is not None:
        credentials = (unquote(parts.username), unquote(parts.password or ""))
    return f"{parts.scheme}://{host}:{port}", credentials


def choose(proxies: Sequence[Proxy], account_id: str) -> Proxy:
    """Return the account's own among these: the same one as long as it is there (rendezvous hash)."""

    def weight(proxy: Proxy) -> bytes:
        return hashlib.blake2b(f"{account_id} {proxy.name}".encode(), digest_size=8).digest()

    return max(proxies, key=weight)


@dataclass
class _Record:
    faults: int = 0  # in a row
    ejections: int = 0  # in a row
    out_until: datetime | None = None


class Health:
    """What is known of the proxies, in the memory of this process. Awaitable, as one in Valkey will have to be."""

    def __init__(
        self,
        now: Callable[[], datetime],
        jitter: Callable[[], float] = random.random,  # between 0 and 1
    ) -> None:
        self._now = now
        self._jitter = jitter
        self._records: dict[str, _Record] = {}

    async def fault(self, proxy: Proxy) -> None:
        """The proxy failed. Three times in a row: out for a while; again as soon as it is back: out for longer."""
        record = self._records.setdefault(proxy.name, _Record())
        record.faults += 1
        now = self._now()
        if record.faults < _FAULTS_TO_EJECT or (record.out_until is not None and record.out_until > now):
            return
        cool_down = min(_COOL_DOWN * 2 ** min(record.ejections, 10), _LONGEST_COOL_DOWN)
        record.out_until = now + cool_down * (0.5 + self._jitter() / 2)
        record.ejections += 1

    async def ok(self, proxy: Proxy) -> None:
        """The proxy brought us to the marketplace."""
        self._records.pop(proxy.name, None)

    async def usable(self, group: Collection[Proxy]) -> list[Proxy]:
        """Return those of a group that are not out. At least half are: if more fail, the fault is not theirs."""
        now = self._now()
        out = {
            proxy.name: until
            for proxy in group
            if (record := self._records.get(proxy.name)) and (until := record.out_until) and until > now
        }
        longest = sorted(out, key=lambda name: out[name], reverse=True)[: len(group) // 2]
        return [proxy for proxy in group if proxy.name not in longest]
