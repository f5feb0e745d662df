"""The tokens of a process: exchanged for once, renewed in time, and shown to nobody."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from collectors.errors import AccountRefused, Later, Malformed, RateLimited, StreamUnavailable, Unacceptable
from collectors.login import Login, Token
from collectors.stream import Answer, Request, Secret
from worker.http.login import Logins

KEYS = {"id": "k1", "password": "a-password-of-twenty-letters"}


def read(answer: Answer) -> Token:
    try:
        return Token(msgspec.json.decode(answer.body, type=dict[str, str])["token"], timedelta(minutes=30))
    except msgspec.DecodeError as error:
        raise Malformed("the answer cannot be read", answer) from error


LOGIN = Login(
    request=Request(method="POST", host="api.test", path="/token"), body=dict, token=read, fields=("id", "password")
)


@dataclass
class Api:
    """Gives a token that is numbered; or says something else, once each."""

    says: list[bytes | Exception] = field(default_factory=list)
    asked: int = 0

    async def __call__(self, request: Request) -> Answer:
        assert request == LOGIN.request
        self.asked += 1
        number = self.asked
        await asyncio.sleep(0)
        said = self.says.pop(0) if self.says else b'{"token":"token-%d"}' % number
        if isinstance(said, Exception):
            raise said
        return Answer(request=request, status=200, headers={}, body=said, fetched_at=datetime.now(UTC))


@dataclass
class Clock:
    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logins(clock: Clock) -> Logins:
    return Logins(clock)


async def ask(logins: Logins, api: Api, *, account: str = "1", secret: Secret = KEYS, login: Login = LOGIN) -> str:
    return await logins.token(account, login, lambda: secret, api)


async def test_all_runs_of_an_account_share_one_exchange(logins: Logins) -> None:
    api = Api()
    assert set(await asyncio.gather(*(ask(logins, api) for _ in range(9)))) == {"token-1"}
    assert await ask(logins, api) == "token-1"
    assert await ask(logins, api, account="2") == "token-2"


async def test_it_is_renewed_a_minute_before_it_ends(logins: Logins, clock: Clock) -> None:
    api = Api()
    await ask(logins, api)
    clock.seconds += 28 * 60
    assert await ask(logins, api) == "token-1"
    clock.seconds += 61
    assert set(await asyncio.gather(*(ask(logins, api) for _ in range(9)))) == {"token-2"}


async def test_one_that_was_refused_is_renewed_once_however_many_were_refused(logins: Logins) -> None:
    api = Api()
    token = await ask(logins, api)
    for _ in range(5):
        logins.forget("1", LOGIN, token)
        assert await ask(logins, api) == "token-2"


async def test_those_who_wait_for_an_exchange_share_its_failure_and_the_next_tries_again(logins: Logins) -> None:
    api = Api([RateLimited("too many", wait=timedelta(seconds=9))])
    failures = await asyncio.gather(*(ask(logins, api) for _ in range(5)), return_exceptions=True)
    assert [type(failure) for failure in failures] == [RateLimited] * 5
    assert api.asked == 1
    assert await ask(logins, api) == "token-2"


async def test_who_is_cancelled_while_it_exchanges_leaves_it_to_the_next(logins: Logins) -> None:
    api = Api()
    first, second = (asyncio.create_task(ask(logins, api)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "token-2"


async def test_refused_keys_are_shown_once_a_minute_and_others_at_once(logins: Logins, clock: Clock) -> None:
    api = Api([StreamUnavailable("refused")])
    for _ in range(5):
        with pytest.raises(StreamUnavailable, match="refused"):
            await ask(logins, api)
    assert api.asked == 1
    assert await ask(logins, api, secret={**KEYS, "id": "k2"}) == "token-2"
    api.says.append(StreamUnavailable("refused"))
    for wait in (0, 61):
        clock.seconds += wait
        with pytest.raises(StreamUnavailable):
            await ask(logins, api)
        api.says.append(StreamUnavailable("refused"))
    assert api.asked == 4


async def test_nothing_of_the_old_keys_is_left_when_the_exchange_of_new_ones_fails(logins: Logins) -> None:
    """Neither their token, nor for how long they were to be left alone."""
    for told in (b'{"token":"of-the-old-keys"}', StreamUnavailable("refused")):
        account = str(told)
        with contextlib.suppress(StreamUnavailable):
            await ask(logins, Api([told]), account=account)
        api = Api([Later("down")])
        with pytest.raises(Later):
            await ask(logins, api, account=account, secret={**KEYS, "id": "k2"})
        assert await ask(logins, api, account=account, secret={**KEYS, "id": "k2"}) == "token-2"


async def test_nothing_of_the_old_keys_is_left_when_the_exchange_of_new_ones_is_cancelled(logins: Logins) -> None:
    await ask(logins, Api([b'{"token":"of-the-old-keys"}']))
    new, api = {**KEYS, "id": "k2"}, Api()
    exchange = asyncio.create_task(ask(logins, api, secret=new))
    await asyncio.sleep(0)
    exchange.cancel()
    assert await ask(logins, api, secret=new) == "token-2"


async def test_a_fresh_token_that_is_refused_too_means_that_the_keys_are(logins: Logins, clock: Clock) -> None:
    api = Api()
    logins.forget("1", LOGIN, await ask(logins, api))
    await ask(logins, api)
    logins.refuse("1", LOGIN, "the key is refused")
    with pytest.raises(StreamUnavailable, match="the key is refused"):
        await ask(logins, api)
    clock.seconds += 61
    assert await ask(logins, api) == "token-3"


@pytest.mark.parametrize("secret", [{}, {"id": "k1"}, {"id": " ", "password": ""}])
@pytest.mark.parametrize(("optional", "error"), [(True, StreamUnavailable), (False, AccountRefused)])
async def test_keys_that_are_not_there_are_named_without_a_request(
    logins: Logins, secret: Secret, *, optional: bool, error: type[Exception]
) -> None:
    api = Api()
    login = Login(request=LOGIN.request, body=dict, token=read, fields=LOGIN.fields, optional=optional)
    with pytest.raises(error, match=r"add .*password to the account's secret"):
        await ask(logins, api, secret=secret, login=login)
    assert api.asked == 0


@pytest.mark.parametrize("body", [b'{"token":"line\\nbreak"}', b'{"token":""}', b'{"tokens":["a-token-of-theirs"]'])
async def test_an_answer_without_a_token_is_quarantined_without_its_body(logins: Logins, body: bytes) -> None:
    with pytest.raises(Unacceptable) as caught:
        await ask(logins, Api([body]))
    assert caught.value.answer.body == b""
    assert "theirs" not in str(caught.value)


async def test_an_api_that_fails_says_so(logins: Logins) -> None:
    with pytest.raises(Later, match="down"):
        await ask(logins, Api([Later("down")]))


async def test_neither_keys_nor_tokens_are_in_what_is_shown_of_them(logins: Logins) -> None:
    token = await ask(logins, Api())
    shown = repr((logins, vars(logins), LOGIN, Token(token, timedelta(1)), LOGIN.request.stored()))
    assert token not in shown
    assert KEYS["password"] not in shown
