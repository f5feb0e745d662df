"""A fetcher with real sockets and a real Valkey, whose waits are recorded instead of slept."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from redis.asyncio import Redis

from collectors.stream import Bucket, Secret
from tests.integration.http.peers import CANARY, FILES, HOST, Api, Tunnel, stream_of
from worker.http.body import ByteBudget
from worker.http.fetch import AccountFetch, Fetcher
from worker.http.health import Health
from worker.http.limits import Limits
from worker.http.pools import Pools, trusted
from worker.http.proxies import Proxy
from worker.http.signing import Resolve


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_context(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    ca_file: Path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return trusted(ca_file)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def api(server_context: ssl.SSLContext) -> AsyncIterator[Api]:
    async with Api().serve(server_context) as api:
        yield api


class Slept:
    """The waits that were asked for; they are over at once."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def slept() -> Slept:
    return Slept()


@pytest.fixture
def health(redis: Redis) -> Health:
    return Health(redis, jitter=lambda: 1.0)


@pytest.fixture
async def fetcher(
    api: Api, redis: Redis, client_context: ssl.SSLContext, slept: Slept, health: Health
) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(
        pools=Pools(client_context),
        limits=Limits(redis),
        budget=ByteBudget(),
        health=health,
        hosts={HOST: api.url, FILES: api.url},
        now=lambda: datetime.now(UTC),
        sleep=slept,
    )
    yield fetcher
    await fetcher.aclose()


Run = Callable[..., AccountFetch]


async def unchanged() -> Secret:
    """The key as it was when the run began."""
    return {"token": CANARY}


StartTunnel = Callable[..., Awaitable[Tunnel]]


@pytest.fixture
def run(fetcher: Fetcher) -> Run:
    def make(
        *proxies: Proxy,
        buckets: tuple[Bucket, ...] = (),
        group: str | None = None,
        account: str = "1",
        through: Fetcher = fetcher,
        resolve: Resolve = unchanged,
    ) -> AccountFetch:
        return AccountFetch(
            fetcher=through,
            stream=stream_of(*buckets),
            seller="seller-1",
            account_id=account,
            secret={"token": CANARY},
            resolve=resolve,
            proxy_group=group or (proxies[0].group if proxies else None),
            proxies=proxies,
        )

    return make


@pytest.fixture
async def tunnels() -> AsyncIterator[StartTunnel]:
    """Start proxies that end with the test."""
    async with AsyncExitStack() as stack:

        async def start(
            credentials: tuple[str, str] | None = None,
            context: ssl.SSLContext | None = None,
            *,
            egress: str = "127.0.0.1",
        ) -> Tunnel:
            return await stack.enter_async_context(Tunnel(credentials, egress=egress).serve(context))

        yield start
