"""Keys that do not sign by themselves: they are exchanged for a token, which signs for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from collectors.errors import AccountRefused, StreamUnavailable
from collectors.stream import Answer, Json, Request, Secret

# By this name a marketplace's `sign` finds the token, beside the secret's own fields.
ACCESS_TOKEN = "access_token"  # noqa: S105 - a name


@dataclass(frozen=True)
class Token:
    """What the keys were exchanged for."""

    value: str = field(repr=False)
    lives: timedelta


@dataclass(frozen=True, kw_only=True)
class Login:
    """One exchange of keys for a token.

    The keys are not in the request, so that it can be shown and logged like any other: `body` adds them on the way out.
    An account that can do without them has just the streams of other hosts.
    """

    request: Request
    body: Callable[[Secret], Json]
    token: Callable[[Answer], Token]  # raises Malformed
    fields: tuple[str, ...]  # of the secret
    optional: bool = True  # an account can do without

    def check(self, secret: Secret) -> None:
        """Raise StreamUnavailable or AccountRefused if the secret lacks one of the fields."""
        missing = [name for name in self.fields if not secret.get(name, "").strip()]
        if missing:
            names = " and ".join(missing)
            raise self.refusal(f"add {names} to the account's secret, then `collector account resume`")

    def refusal(self, why: str) -> StreamUnavailable | AccountRefused:
        """Say that these keys do not do: the account lacks some of its streams, or can do nothing at all."""
        return StreamUnavailable(why) if self.optional else AccountRefused(why)
