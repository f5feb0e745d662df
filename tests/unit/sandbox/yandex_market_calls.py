"""Calling the sandbox's Yandex Market as its first seller."""

from typing import Any

from httpx import AsyncClient, Response  # noqa: TID251 - a client that shares nothing with the worker's

from sandbox.server import Sandbox

NAME = "yandex_market"
Body = dict[str, Any]


async def ask(box: Sandbox, client: AsyncClient, path: str, body: Body | None = None, **query: str) -> Response:
    headers = {"Host": "api.partner.market.yandex.ru", "Api-Key": box.credentials(NAME, seller(box))}
    method = "GET" if body is None else "POST"
    return await client.request(method, path, params=query, json=body, headers=headers)


def seller(box: Sandbox) -> str:
    return box.seller(NAME, 1)


def campaigns(box: Sandbox) -> list[str]:
    return box.records(NAME, seller(box), "campaigns")


async def walk(box: Sandbox, client: AsyncClient, path: str, rows: str, *, body: Body | None, limit: str) -> list[Body]:
    """Until there is no next page; the list is at the top or in `result`."""
    found: list[Body] = []
    query = {"limit": limit}
    while True:
        answer = (await ask(box, client, path, body, **query)).raise_for_status().json()
        page = answer.get("result", answer)
        found += page[rows]
        if "nextPageToken" not in page["paging"]:
            return found
        query["pageToken"] = page["paging"]["nextPageToken"]
