"""Ozon's advertising as the sandbox plays it: a key for a token, and one report at a time."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from httpx import AsyncClient, Response  # noqa: TID251 - a client that shares nothing with the worker's

from sandbox.clock import Clock
from sandbox.ozon_adverts import PERFORMANCE, TOKEN_LIVES
from sandbox.server import Sandbox

REPORTS = "/api/client/statistics"
Connect = Callable[[Sandbox], AsyncClient]


def sandbox(home: Path) -> Sandbox:
    return Sandbox(home, clock=Clock.frozen(datetime(2026, 11, 20, 12, tzinfo=UTC)), rate_scale=1000.0)


async def log_in(box: Sandbox, client: AsyncClient, **fields: str) -> Response:
    keys = json.loads(box.credentials("ozon", box.seller("ozon", 1)))
    body = {
        "client_id": keys["perf_client_id"],
        "client_secret": keys["perf_client_secret"],
        "grant_type": "client_credentials",
        **fields,
    }
    return await client.post("/api/client/token", json=body, headers={"Host": PERFORMANCE})


async def signed(box: Sandbox, client: AsyncClient) -> dict[str, str]:
    token = (await log_in(box, client)).raise_for_status().json()["access_token"]
    return {"Host": PERFORMANCE, "Authorization": f"Bearer {token}"}


async def test_a_token_signs_for_half_an_hour(tmp_path: Path, connect: Connect) -> None:
    async with sandbox(tmp_path) as box, connect(box) as client:
        headers = await signed(box, client)
        box.clock.advance(TOKEN_LIVES - timedelta(seconds=1))
        assert (await client.get("/api/client/campaign", headers=headers)).status_code == 200
        box.clock.advance(timedelta(seconds=1))
        answer = await client.get("/api/client/campaign", headers=headers)
        assert (answer.status_code, answer.json()) == (401, {"error": "Access token has expired"})


async def test_keys_that_are_wrong_or_withdrawn_and_forged_tokens_are_refused(tmp_path: Path, connect: Connect) -> None:
    async with sandbox(tmp_path) as box, connect(box) as client:
        headers = await signed(box, client)
        forged = {**headers, "Authorization": headers["Authorization"][:-2] + "xx"}
        seller_key = {**headers, "Api-Key": "x"}
        campaigns = [await client.get("/api/client/campaign", headers=each) for each in (forged, seller_key)]
        assert [answer.status_code for answer in campaigns] == [401, 400]
        assert (await log_in(box, client, client_secret="wrong")).status_code == 401
        assert (await log_in(box, client, grant_type="password")).status_code == 400
        old = await log_in(box, client)
        box.revoke("ozon/performance", box.seller("ozon", 1))
        assert (await client.get("/api/client/campaign", headers=headers)).status_code == 401
        assert old.status_code == (await log_in(box, client)).status_code == 200, "those made since are others"


async def test_a_second_report_is_refused_while_one_is_made_and_several_campaigns_are_a_zip(
    tmp_path: Path, connect: Connect
) -> None:
    async with sandbox(tmp_path) as box, connect(box) as client:
        headers = await signed(box, client)
        campaigns = box.records("ozon", box.seller("ozon", 1), "perf_campaigns")[:2]
        body: dict[str, Any] = {
            "campaigns": campaigns, "dateFrom": "2026-11-01", "dateTo": "2026-11-10", "groupBy": "DATE"
        }  # fmt: skip
        uuid = (await client.post(REPORTS, json=body, headers=headers)).raise_for_status().json()["UUID"]
        second = await client.post(REPORTS, json=body, headers=headers)
        assert second.status_code == 429
        assert "максимум 1" in second.json()["error"]
        assert [violation.bucket.partition(":")[0] for violation in box.violations()] == ["performance_reports"]

        file = f"{REPORTS}/report?UUID={uuid}"
        assert (await client.get(file, headers=headers)).status_code == 404
        states = [(await client.get(f"{REPORTS}/{uuid}", headers=headers)).json()["state"] for _ in range(3)]
        assert states == ["NOT_STARTED", "IN_PROGRESS", "OK"]
        answer = await client.get(file, headers=headers)
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.namelist() == [f"{campaign}.csv" for campaign in campaigns]
        assert answer.headers["content-type"] == "application/zip"
        assert (await client.post(REPORTS, json=body, headers=headers)).status_code == 200
