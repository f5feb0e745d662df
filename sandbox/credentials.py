"""Secrets that need no register: each carries the seller and a proof made with the seed."""

import base64
import binascii
import hmac
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from sandbox.records import encode

EVERY_CATEGORY = sum(1 << bit for bit in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13))
PERSONAL = 3
PERFORMANCE = "ozon/performance"


class BadCredentialError(Exception):
    """The secret is not one of this sandbox; the message is for the vendor's error body."""


@dataclass(frozen=True)
class Token:
    """What a Wildberries token says. `categories` is the bit mask of its scopes."""

    seller: str
    expires: datetime
    categories: int


@dataclass(frozen=True)
class Issuer:
    """Issues and verifies the secrets of one seed."""

    seed: int
    _revoked: Counter[str] = field(default_factory=Counter, compare=False)  # how often, by marketplace and seller

    def revoke(self, marketplace: str, seller: str) -> None:
        """Refuse every secret of the seller that was issued until now; those issued from now on are others."""
        self._revoked[f"{marketplace}/{seller}"] += 1

    def seller(self, marketplace: str, number: int) -> str:
        """The id of the n-th seller: Wildberries a UUID, Ozon and Yandex Market digits."""
        digest = self._proof("seller", marketplace, str(number))
        if marketplace == "wildberries":
            return str(UUID(bytes=digest[:16], version=4))
        if marketplace in {"ozon", "yandex_market"}:
            return str(1_000_000 + int.from_bytes(digest[:8], "big") % 8_999_999)
        raise ValueError(f"There is no marketplace {marketplace!r}: take wildberries, ozon or yandex_market.")

    def wildberries(self, seller: str, expires: datetime, categories: int = EVERY_CATEGORY) -> str:
        payload = {
            "acc": PERSONAL,
            "ent": 1,
            "exp": int(expires.timestamp()),
            "for": "self",
            "id": self._token_id(seller),
            "s": categories,
            "sid": seller,
            "t": False,
        }
        signed = f"{_base64({'alg': 'ES256', 'kid': 'sandbox', 'typ': 'JWT'})}.{_base64(payload)}"
        return f"{signed}.{self._signature(signed)}"

    def ozon(self, seller: str) -> dict[str, str]:
        """The keys of both its APIs. Those for advertising are withdrawn as "ozon/performance"."""
        proof = self._secret_proof(PERFORMANCE, seller)
        return {
            "client_id": seller,
            "api_key": str(UUID(bytes=self._secret_proof("ozon", seller)[:16], version=4)),
            "perf_client_id": f"{seller}-{int.from_bytes(proof[:6], 'big')}@advertising.performance.ozon.ru",
            "perf_client_secret": base64.urlsafe_b64encode(proof + proof).decode().rstrip("="),
        }

    def ozon_token(self, client_id: str, client_secret: str, expires: datetime) -> str:
        """What the advertising keys are exchanged for."""
        seller = client_id.partition("-")[0]
        keys = self.ozon(seller)
        given, wanted = f"{client_id}/{client_secret}", f"{keys['perf_client_id']}/{keys['perf_client_secret']}"
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise BadCredentialError("Client authentication failed")
        payload = {"exp": int(expires.timestamp()), "sub": seller, "for": keys["perf_client_id"]}
        signed = f"{_base64({'alg': 'HS256', 'typ': 'JWT'})}.{_base64(payload)}"
        return f"{signed}.{self._signature(signed)}"

    def read_ozon_token(self, token: str, now: datetime) -> str:
        try:
            signed, _, signature = token.rpartition(".")
            part = signed.partition(".")[2]
            payload = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
            seller, lives = str(payload["sub"]), datetime.fromtimestamp(payload["exp"], UTC) > now
            is_current = payload["for"] == self.ozon(seller)["perf_client_id"]
        except (ValueError, KeyError, TypeError, binascii.Error):
            raise BadCredentialError("Access token is malformed") from None
        if not hmac.compare_digest(signature.encode(), self._signature(signed).encode()):
            raise BadCredentialError("Access token is not valid")
        if not (lives and is_current):
            raise BadCredentialError("Access token has expired")
        return seller

    def yandex_market(self, seller: str) -> str:
        proof = self._secret_proof("yandex_market", seller).hex()
        return f"ACMA:{proof[:40]}{int(seller):x}:{proof[40:48]}"

    def read_wildberries(self, secret: str) -> Token:
        parts = secret.split(".")
        if len(parts) != 3:
            raise BadCredentialError("token problem; token is malformed: token contains an invalid number of segments")
        try:
            payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
            token = Token(str(payload["sid"]), datetime.fromtimestamp(payload["exp"], UTC), int(payload["s"]))
            token_id = str(payload["id"])
        except (ValueError, KeyError, TypeError, binascii.Error):
            raise BadCredentialError("token problem; token is malformed: could not read the claims") from None
        if not hmac.compare_digest(parts[2].encode(), self._signature(f"{parts[0]}.{parts[1]}").encode()):
            raise BadCredentialError("token problem; token signature is invalid")
        if token_id != self._token_id(token.seller):
            raise BadCredentialError("token problem; token was withdrawn")
        return token

    def read_ozon(self, client_id: str, api_key: str) -> str:
        if not hmac.compare_digest(api_key.encode(), self.ozon(client_id)["api_key"].encode()):
            raise BadCredentialError("Invalid Api-Key, please contact support")
        return client_id

    def read_yandex_market(self, secret: str) -> str:
        parts = secret.split(":")
        try:
            seller = str(int(parts[1][40:], 16))
        except (IndexError, ValueError):
            raise BadCredentialError("Api-Key is malformed") from None
        if not hmac.compare_digest(secret.encode(), self.yandex_market(seller).encode()):
            raise BadCredentialError("Api-Key is unknown")
        return seller

    def _token_id(self, seller: str) -> str:
        return str(UUID(bytes=self._secret_proof("wildberries", seller)[:16], version=4))

    def _secret_proof(self, marketplace: str, seller: str) -> bytes:
        return self._proof(marketplace, seller, str(self._revoked[f"{marketplace}/{seller}"]))

    def _proof(self, *parts: str) -> bytes:
        return hmac.digest(str(self.seed).encode(), "/".join(parts).encode(), sha256)

    def _signature(self, signed: str) -> str:
        return base64.urlsafe_b64encode(self._proof("jwt", signed)).rstrip(b"=").decode()


def _base64(value: object) -> str:
    return base64.urlsafe_b64encode(encode(value)).rstrip(b"=").decode()
