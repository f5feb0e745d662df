"""What a Wildberries token says of itself: its payload is signed, not encrypted, and needs no key to be read.

https://dev.wildberries.ru/openapi/api-information: the fields of the payload, and the bits of `s`.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import msgspec

# `acc`. Tokens made before October 2025 have none.
_KINDS = {1: "base", 2: "test", 3: "personal", 4: "service"}

# Which bit of `s` opens a category. 8 was recommendations, 9 is the chat, 16 the users: nothing that we read.
_BITS = {
    "content": 1,
    "analytics": 2,
    "prices": 3,
    "marketplace": 4,
    "statistics": 5,
    "promotion": 6,
    "feedbacks": 7,
    "supplies": 10,
    "returns": 11,
    "documents": 12,
    "finance": 13,
}
_READ_ONLY = 30


class Claims(msgspec.Struct, frozen=True):
    """The payload, as far as it tells what a token may do. Of one that cannot be read nothing is known."""

    acc: int = 0
    sid: str = ""  # of the seller
    exp: float = 0
    s: int = -1  # the bits of the categories; not there: all of them, as far as we know

    @property
    def kind(self) -> str:
        return _KINDS.get(self.acc, "")

    @property
    def expires_at(self) -> datetime | None:
        try:
            return datetime.fromtimestamp(self.exp, UTC) if self.exp else None
        except (ValueError, OverflowError, OSError):
            return None

    def may(self, category: str) -> bool:
        return category not in _BITS or bool(self.s >> _BITS[category] & 1)

    def described(self) -> str:
        """Say in words for people what kind of token it is; "" if it does not tell."""
        return f"{self.kind or 'token'}, read only" if self.s >= 0 and self.s >> _READ_ONLY & 1 else self.kind


def claims_of(token: str) -> Claims:
    """Read the payload; never raises."""
    try:
        payload = token.split(".")[1]
        return msgspec.json.decode(base64.urlsafe_b64decode(payload + "=="), type=Claims)
    except (IndexError, ValueError, msgspec.DecodeError, RecursionError):
        return Claims()
