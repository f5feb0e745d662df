"""Infisical as its SDK meets it, on a socket of this machine: universal auth, and the values of named secrets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

CLIENT_ID = "b7d6c0a2-machine"
CLIENT_SECRET = "canary-client-secret-51f0"


@dataclass
class FakeInfisical:
    """`values`: (project, environment, folder, name) → value."""

    url: str = ""
    values: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)  # names
    hidden: set[str] = field(default_factory=set)  # names that may be seen, but not their values
    logins: int = 0
    reads: list[str] = field(default_factory=list)
    fails: list[web.StreamResponse] = field(default_factory=list)  # what the next requests are answered instead
    expires_in: int = 2_592_000
    _token: str = ""
    _refusal: tuple[int, str] = (401, "UnauthorizedError")

    def end_token(self, status: int, error: str) -> None:
        """Refuse the access token from now on, in these words."""
        self._token, self._refusal = "over", (status, error)

    async def login(self, request: web.Request) -> web.StreamResponse:
        if self.fails:
            return self.fails.pop(0)
        body = await request.json()
        if body != {"clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET}:
            return _error(401, "UnauthorizedError", f"Invalid credentials {body}")
        self.logins += 1
        self._token = f"canary-access-token-{self.logins}"
        return web.json_response(
            {
                "accessToken": self._token,
                "expiresIn": self.expires_in,
                "accessTokenMaxTTL": 2_592_000,
                "tokenType": "Bearer",
            }
        )

    async def secret(self, request: web.Request) -> web.StreamResponse:
        name, query = request.match_info["name"], request.query
        self.reads.append(name)
        if self.fails:
            return self.fails.pop(0)
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return _error(*self._refusal)
        if name in self.forbidden:
            return _error(403, "PermissionDenied")
        project = query.get("workspaceSlug") or f"id {query['workspaceId']}"
        value = self.values.get((project, query["environment"], query["secretPath"], name))
        if value is None:
            return _error(404, "NotFound")
        return web.json_response({"secret": self._described(name, value, query["environment"])})

    def _described(self, name: str, value: str, environment: str) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat()
        return {
            "id": "5b1c", "_id": "5b1c", "workspace": "b1", "environment": environment, "version": 1, "type": "shared",
            "secretKey": name, "secretValue": "<hidden>" if name in self.hidden else value, "secretComment": "",
            "secretValueHidden": name in self.hidden, "createdAt": now, "updatedAt": now,
        }  # fmt: skip


def _error(status: int, error: str, message: str = "refused") -> web.Response:
    return web.json_response({"statusCode": status, "message": message, "error": error}, status=status)


@asynccontextmanager
async def fake_infisical() -> AsyncIterator[FakeInfisical]:
    """Serve one until the end."""
    fake = FakeInfisical()
    app = web.Application()
    app.add_routes(
        [
            web.post("/api/v1/auth/universal-auth/login", fake.login),
            web.get("/api/v3/secrets/raw/{name}", fake.secret),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        fake.url = f"http://{host}:{port}"
        yield fake
    finally:
        await runner.cleanup()
