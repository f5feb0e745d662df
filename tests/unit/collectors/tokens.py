"""Tokens of Wildberries with a payload of one's choice: nobody would take their signature."""

from __future__ import annotations

import base64
import json

BASE, TEST, PERSONAL, SERVICE = 1, 2, 3, 4


def token(*bits: int, **claims: object) -> str:
    """Make a token whose categories are these bits (without one: nothing is said of them)."""
    payload = claims | ({"s": sum(1 << bit for bit in bits)} if bits else {})
    text = base64.urlsafe_b64encode(json.dumps({"acc": PERSONAL, **payload}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJFUzI1NiJ9.{text}.c2lnbmF0dXJl"
