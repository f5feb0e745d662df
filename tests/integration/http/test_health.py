"""A proxy that fails is out for a while, an account keeps its place, and all workers know."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from collectors.errors import PutOff
from worker.http.health import Health
from worker.http.proxies import Proxy, ranked

OZON, WILDBERRIES = "ozon", "wildberries"


def group(size: int, **options: object) -> list[Proxy]:
    plain = Proxy(name="", group="g", url="http://10.0.0.1:3128")
    return [replace(plain, name=f"proxy-{number}", **options) for number in range(size)]  # type: ignore[arg-type]


def account_of(proxies: Sequence[Proxy], number: int, *, nth: int = 0) -> str:
    """Return an account whose own is this proxy."""
    return [str(n) for n in range(1000) if ranked(proxies, str(n))[0] == proxies[number]][nth]


_PASS_TIME = """
local back = ARGV[1]
local out = redis.call('HGETALL', '{proxies}:out')
for i = 1, #out, 2 do
  local until_, level, trial = string.match(out[i + 1], '(%d+) (%d+) (%d+)')
  local moved = string.format('%.0f %d %.0f', until_ - back, level, math.max(trial - back, 0))
  redis.call('HSET', '{proxies}:out', out[i], moved)
end
for _, key in ipairs(redis.call('KEYS', '{proxies}:record:*')) do
  if redis.call('HEXISTS', key, 'since') == 1 then
    redis.call('HINCRBY', key, 'since', -back)
  end
end
for _, key in ipairs(redis.call('KEYS', '{proxies}:accounts:*')) do
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    redis.call('ZINCRBY', key, -back, member)
  end
end
return redis.call('HKEYS', '{proxies}:out')
"""


async def pass_time(redis: Redis, **passed: float) -> Sequence[bytes]:
    """Move every moment that Valkey holds into the past; the fields of those that are out."""
    back = timedelta(**passed) // timedelta(microseconds=1)
    fields: Sequence[bytes] = await redis.register_script(_PASS_TIME)(args=[back])
    return fields


class Workers:
    """Each question is asked by a worker that knows nothing yet."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @property
    def one(self) -> Health:
        return Health(self._redis, jitter=lambda: 1.0)

    async def choose(
        self, proxies: Sequence[Proxy], account: str, *, marketplace: str = OZON, without: Sequence[Proxy] = ()
    ) -> str | None:
        chosen = await self.one.choose(proxies, account_id=account, marketplace=marketplace, without=without)
        return None if chosen is None else chosen.name

    async def eject(self, proxy: Proxy) -> None:
        for _ in range(3):
            await self.one.fault(proxy)

    async def seconds_out(self, proxy: Proxy) -> float:
        until = (await self.one.standing([proxy]))[proxy.name].out_until
        return 0.0 if until is None else (until - datetime.now(UTC)).total_seconds()

    async def seconds_banned(self, proxy: Proxy) -> float:
        until = (await self.one.standing([proxy]))[proxy.name].banned[OZON]
        return (until - datetime.now(UTC)).total_seconds()


@pytest.fixture
def workers(redis: Redis) -> Workers:
    return Workers(redis)


def about(seconds: float) -> object:
    return pytest.approx(seconds, abs=2)


async def test_three_faults_in_a_row_put_a_proxy_out_and_a_success_forgives_two(workers: Workers) -> None:
    proxies = group(4)
    account = account_of(proxies, 0)
    for _ in range(2):
        await workers.one.fault(proxies[0])
    await workers.one.ok(proxies[0], OZON)
    for _ in range(2):
        await workers.one.fault(proxies[0])
    assert await workers.choose(proxies, account) == "proxy-0"
    await workers.one.fault(proxies[0])
    assert await workers.choose(proxies, account) == ranked(proxies, account)[1].name
    assert await workers.seconds_out(proxies[0]) == about(30)


async def test_half_a_point_counts_half(workers: Workers) -> None:
    (proxy,) = group(1)
    for _ in range(5):
        await workers.one.fault(proxy, points=0.5)
    assert await workers.seconds_out(proxy) == 0
    assert (await workers.one.standing([proxy]))[proxy.name].faults == 2.5
    await workers.one.fault(proxy, points=0.5)
    assert await workers.seconds_out(proxy) > 0


async def test_a_proxy_that_fails_more_often_than_not_is_out(workers: Workers) -> None:
    (proxy,) = group(1)
    for _ in range(4):
        await workers.one.fault(proxy)
        await workers.one.ok(proxy, OZON)
    await workers.one.fault(proxy)
    assert await workers.seconds_out(proxy) == 0, "nine requests are not enough to judge by"
    await workers.one.fault(proxy)
    assert await workers.seconds_out(proxy) > 0


async def test_faults_of_more_than_a_minute_ago_do_not_count_against_a_proxy(workers: Workers, redis: Redis) -> None:
    (proxy,) = group(1)
    for _ in range(5):
        await workers.one.fault(proxy)
        await workers.one.ok(proxy, OZON)
    await pass_time(redis, seconds=61)
    await workers.one.fault(proxy)
    await workers.one.fault(proxy)
    assert await workers.seconds_out(proxy) == 0


async def test_a_proxy_that_comes_back_is_tried_by_one_request(workers: Workers, redis: Redis) -> None:
    proxies = group(4)
    account, neighbour = account_of(proxies, 0), account_of(proxies, 0, nth=1)
    await workers.eject(proxies[0])
    await pass_time(redis, seconds=31)
    trying = workers.one
    chosen = await trying.choose(proxies, account_id=account, marketplace=OZON)
    assert chosen == proxies[0]
    same_process = await trying.choose(proxies, account_id=neighbour, marketplace=OZON)
    assert same_process not in {None, proxies[0]}
    assert await workers.choose(proxies, neighbour) != "proxy-0"
    await trying.ok(proxies[0], OZON)
    assert await workers.choose(proxies, neighbour) == await workers.choose(proxies, account) == "proxy-0"
    assert await trying.choose(proxies, account_id=neighbour, marketplace=OZON) == proxies[0]


async def test_of_a_hundred_requests_at_once_one_tries(workers: Workers, redis: Redis) -> None:
    proxies = group(2, most_accounts=1000)
    await workers.eject(proxies[0])
    await pass_time(redis, seconds=31)
    two = (workers.one, workers.one)
    accounts = [account_of(proxies, 0, nth=nth) for nth in range(100)]
    chosen = await asyncio.gather(
        *(two[n % 2].choose(proxies, account_id=account, marketplace=OZON) for n, account in enumerate(accounts))
    )
    assert Counter(proxy.name for proxy in chosen if proxy) == {"proxy-0": 1, "proxy-1": 99}


async def test_a_trial_that_nobody_ended_is_given_to_another(workers: Workers, redis: Redis) -> None:
    proxies = group(2)
    account = account_of(proxies, 0)
    await workers.eject(proxies[0])
    await pass_time(redis, seconds=31)
    assert [await workers.choose(proxies, account) for _ in range(2)] == ["proxy-0", "proxy-1"]
    await pass_time(redis, seconds=31)
    assert await workers.choose(proxies, account) == "proxy-0"


async def test_each_failed_trial_doubles_the_cool_down_up_to_half_an_hour(workers: Workers, redis: Redis) -> None:
    (proxy,) = group(1)
    await workers.eject(proxy)
    for seconds in (60, 120, 240, 480, 960, 1800, 1800):
        await pass_time(redis, minutes=31)
        await workers.one.fault(proxy)
        assert await workers.seconds_out(proxy) == about(seconds)
    await pass_time(redis, minutes=31)
    await workers.one.ok(proxy, OZON)
    await workers.eject(proxy)
    assert await workers.seconds_out(proxy) == about(30), "a success resets"


async def test_the_jitter_is_full(redis: Redis, workers: Workers) -> None:
    (proxy,) = group(1)
    for _ in range(3):
        await Health(redis, jitter=lambda: 0.5).fault(proxy)
    assert await workers.seconds_out(proxy) == about(15)


async def test_what_happens_while_a_proxy_is_out_neither_prolongs_nor_ends_it(workers: Workers) -> None:
    """Requests that had begun before, and those let through because too many are out."""
    (proxy,) = group(1)
    await workers.eject(proxy)
    await workers.eject(proxy)
    await workers.one.ok(proxy, OZON)
    assert await workers.seconds_out(proxy) == about(30)


async def test_a_lasting_fault_puts_a_proxy_out_for_the_longest_at_once(workers: Workers, redis: Redis) -> None:
    (proxy,) = group(1)
    await workers.one.fault(proxy, lasting=True)
    assert await workers.seconds_out(proxy) == about(1800)
    await pass_time(redis, minutes=31)
    await workers.one.fault(proxy)
    assert await workers.seconds_out(proxy) == about(1800)


async def test_a_ban_is_of_one_marketplace(workers: Workers, redis: Redis) -> None:
    proxies = group(3)
    account = account_of(proxies, 0)
    await workers.one.ban(proxies[0], OZON)
    assert await workers.choose(proxies, account) != "proxy-0"
    assert await workers.choose(proxies, account, marketplace=WILDBERRIES) == "proxy-0"
    assert await workers.seconds_banned(proxies[0]) == about(300)
    await workers.one.ok(proxies[0], WILDBERRIES)
    for seconds in (600, 1200, 2400, 3600, 3600):
        await pass_time(redis, minutes=61)
        await workers.one.ban(proxies[0], OZON)
        assert await workers.seconds_banned(proxies[0]) == about(seconds)
    await pass_time(redis, minutes=61)
    assert await workers.choose(proxies, account) == "proxy-0"
    await workers.one.ok(proxies[0], OZON)
    assert (await workers.one.standing(proxies))["proxy-0"].banned == {}


@pytest.mark.parametrize(("size", "usable"), [(1, 1), (2, 1), (5, 3)])
async def test_at_least_half_of_a_group_stays(workers: Workers, redis: Redis, size: int, usable: int) -> None:
    """Bans and ejections together; those that come back first are used."""
    proxies = group(size, most_accounts=1000)
    for number, proxy in enumerate(proxies):
        if number % 2:
            await workers.one.ban(proxy, OZON)
        await workers.eject(proxy)
        await pass_time(redis, seconds=1)
    chosen = {await workers.choose(proxies, str(account)) for account in range(50)}
    ends = sorted(proxies, key=lambda proxy: int(proxy.name[-1]) % 2 * 1000 + int(proxy.name[-1]))
    assert chosen == {proxy.name for proxy in ends[:usable]}


async def test_there_is_none_when_every_usable_one_was_tried(workers: Workers) -> None:
    proxies = group(4)
    await workers.eject(proxies[3])
    assert await workers.choose(proxies, "1", without=proxies[:3]) is None
    assert await workers.choose(proxies, "1", without=proxies[:2]) == "proxy-2"
    assert await workers.choose(proxies[:1], "1", without=proxies[:1]) is None


async def test_an_account_comes_back_to_its_own_after_the_cool_down(workers: Workers, redis: Redis) -> None:
    proxies = group(4)
    account = account_of(proxies, 0)
    knowing = workers.one

    async def chosen() -> list[str | None]:
        here = await knowing.choose(proxies, account_id=account, marketplace=OZON)
        assert here is not None
        return [here.name, await workers.choose(proxies, account)]

    assert await chosen() == ["proxy-0"] * 2
    for _ in range(3):
        await knowing.fault(proxies[0])
    assert await chosen() == [ranked(proxies, account)[1].name] * 2, "own faults count at once"
    await pass_time(redis, seconds=31)
    await workers.one.ok(proxies[0], OZON)
    assert await workers.choose(proxies, account) == "proxy-0"


async def test_a_full_proxy_is_passed_over_and_keeps_those_that_it_has(workers: Workers) -> None:
    proxies = group(2, most_accounts=3)
    mine = [account_of(proxies, 0, nth=nth) for nth in range(6)]
    expected = ["proxy-0"] * 3 + ["proxy-1"] * 3
    assert [await workers.choose(proxies, account) for account in mine] == expected
    assert [await workers.choose(proxies, account) for account in mine] == expected
    with pytest.raises(PutOff, match=r"^proxy group 'g' has no room for another account: add a proxy") as caught:
        await workers.choose(proxies, "another")
    assert caught.value.wait == timedelta(minutes=5)
    assert {name: found.accounts for name, found in (await workers.one.standing(proxies)).items()} == {
        "proxy-0": 3,
        "proxy-1": 3,
    }


async def test_a_place_that_is_not_used_for_a_day_is_free(workers: Workers, redis: Redis) -> None:
    proxies = group(1, most_accounts=2)
    for account in "12":
        await workers.choose(proxies, account)
    await pass_time(redis, hours=23)
    await workers.choose(proxies, "1")
    await pass_time(redis, hours=2)
    assert await workers.choose(proxies, "3") == "proxy-0"
    assert (await workers.one.standing(proxies))["proxy-0"].accounts == 2
    with pytest.raises(PutOff, match="no room"):
        await workers.choose(proxies, "2")


async def test_two_proxies_with_one_address_share_its_room(workers: Workers) -> None:
    proxies = group(2, most_accounts=2, egress="203.0.113.7")
    for account in "12":
        assert await workers.choose(proxies, account) == ranked(proxies, account)[0].name
    with pytest.raises(PutOff, match="no room"):
        await workers.choose(proxies, "3")


async def test_places_taken_at_once_are_not_more_than_there_are(workers: Workers) -> None:
    proxies = group(4, most_accounts=5)
    two = (workers.one, workers.one)
    chosen = await asyncio.gather(
        *(two[n % 2].choose(proxies, account_id=str(n), marketplace=OZON) for n in range(30)), return_exceptions=True
    )
    assert Counter(found.name for found in chosen if isinstance(found, Proxy)) == {f"proxy-{n}": 5 for n in range(4)}
    assert sum(isinstance(found, PutOff) for found in chosen) == 10


async def test_a_forgiven_proxy_is_as_new(workers: Workers) -> None:
    proxies = group(2)
    for proxy in proxies:
        await workers.eject(proxy)
        await workers.one.ban(proxy, OZON)
    await workers.one.fault(proxies[0])
    await workers.one.forgive("proxy-0")
    standing = await workers.one.standing(proxies)
    assert (standing["proxy-0"].out_until, standing["proxy-0"].banned, standing["proxy-0"].faults) == (None, {}, 0)
    assert standing["proxy-1"].out_until
    assert standing["proxy-1"].banned


async def test_a_proxy_that_is_gone_is_forgotten(workers: Workers, redis: Redis) -> None:
    gone, other = group(2)
    await workers.eject(gone)
    await pass_time(redis, hours=25)
    await workers.eject(other)
    assert await pass_time(redis) == [b":proxy-1"]
    assert all([await redis.pttl(key) > 0 for key in await redis.keys("{proxies}:record:*")])


async def test_without_valkey_nothing_is_chosen_and_reports_do_not_hide_what_they_report() -> None:
    async with Redis(port=1) as nowhere:
        health = Health(nowhere)
        (proxy,) = group(1)
        with pytest.raises(PutOff, match="cannot be reached") as caught:
            await health.choose([proxy], account_id="1", marketplace=OZON)
        assert caught.value.wait == timedelta(seconds=5)
        await health.ok(proxy, OZON)
        await health.fault(proxy)
        await health.ban(proxy, OZON)


async def test_a_choice_is_cheap(workers: Workers) -> None:
    """Below 0.2 ms of a request's some 3 ms, with 50 proxies of which two are out."""
    proxies = group(50)
    for proxy in proxies[:2]:
        await workers.eject(proxy)
    health = workers.one
    accounts = [account_of(proxies, 3, nth=nth) for nth in range(10)]
    rounds = []
    for _ in range(10):
        began = time.process_time()
        for account in accounts:
            await health.choose(proxies, account_id=account, marketplace=OZON)
        rounds.append((time.process_time() - began) / len(accounts))
    assert min(rounds) < 0.000_2
