import math
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from httpx import AsyncClient  # noqa: TID251 - a client that shares nothing with the worker's

from sandbox.clock import Clock
from sandbox.server import Play, Sandbox

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SMALL = Play(
    epoch=datetime(2026, 11, 20, tzinfo=UTC),
    history_days=20,
    volumes={
        "wildberries/orders": 7,
        "wildberries/cards": 30,
        "wildberries/prices": 30,
        "wildberries/fin_detail": 5,
        "wildberries/feedbacks": 6,
        "wildberries/sales": 7,
        "wildberries/fbs_orders": 6,
        "wildberries/questions": 6,
        "wildberries/campaigns": 12,
        "ozon/products": 40,
        "ozon/fbs_postings": 4,
        "ozon/accruals_by_day": 9,
        "yandex_market/orders": 5,
        "yandex_market/prices": 30,
        "yandex_market/returns": 3,
        "yandex_market/supply_requests": 20,
        "yandex_market/feedback": 3,
        "yandex_market/questions": 2,
        "yandex_market/united_netting": 4,
    },
)
PAGE_LIMITS = {
    "wildberries/orders": 11,
    "wildberries/cards": 7,
    "wildberries/prices": 8,
    "wildberries/fin_detail": 13,
    "wildberries/order_feed": 10,
    "wildberries/feedbacks": 9,
    "wildberries/sales": 11,
    "wildberries/fbs_orders": 8,
    "wildberries/questions": 5,
    "wildberries/claims": 9,
    "ozon/products": 6,
    "ozon/fbs_postings": 7,
    "ozon/accruals_by_day": 4,
    "ozon/prices": 7,
    "ozon/stocks_fbs": 8,
    "ozon/stocks_fbo_wh": 9,
    "ozon/fbo_postings": 3,
    "ozon/returns": 3,
    "ozon/analytics": 6,
    "ozon/product_attributes": 9,
    "ozon/warehouses": 2,
    "ozon/supply_orders": 4,
    "ozon/reviews": 2,
    "ozon/questions": 2,
    "ozon/returns_rfbs": 2,
    "ozon/turnover": 8,
    "yandex_market/campaigns": 2,
    "yandex_market/orders_stats": 5,
    "yandex_market/orders": 6,
    "yandex_market/prices": 7,
    "yandex_market/returns": 3,
    "yandex_market/supply_requests": 3,
    "yandex_market/offers": 7,
    "yandex_market/stocks": 3,
    "yandex_market/feedback": 7,
    "yandex_market/questions": 7,
}


@pytest.fixture
def clock() -> Clock:
    return Clock.frozen(NOON)


@pytest.fixture
async def box(tmp_path: Path, clock: Clock) -> AsyncIterator[Sandbox]:
    """Small pages, a clock that stands still, no limits."""
    sandbox = Sandbox(tmp_path, clock=clock, page_limits=PAGE_LIMITS, rate_scale=math.inf, play=SMALL)
    async with sandbox:
        yield sandbox


@pytest.fixture
def connect() -> Callable[[Sandbox], AsyncClient]:
    def to(box: Sandbox) -> AsyncClient:
        return AsyncClient(base_url=box.url, verify=box.authority.client_context(), trust_env=False)

    return to


@pytest.fixture
async def client(box: Sandbox, connect: Callable[[Sandbox], AsyncClient]) -> AsyncIterator[AsyncClient]:
    async with connect(box) as made:
        yield made
