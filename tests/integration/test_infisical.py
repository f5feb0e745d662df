"""Secrets behind `infisical:`, read by the vendor's SDK over a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import web

from tests.infisical import CLIENT_ID, CLIENT_SECRET, FakeInfisical, fake_infisical
from tests.servers import Database
from worker.cli.checkup import Level, Patient
from worker.cli.doctor_outside import secrets
from worker.http.pools import trusted
from worker.infisical import FRESH_FOR, Infisical
from worker.secrets import SecretUnavailable, check_ref, resolve
from worker.settings import load

REFERENCE = "infisical:bronze/prod/shops/OZON_MAIN"
PLACE = ("bronze", "prod", "/shops", "OZON_MAIN")
TOKEN = "canary-ozon-key-77"


@pytest.fixture
async def infisical() -> AsyncIterator[FakeInfisical]:
    async with fake_infisical() as fake:
        fake.values[PLACE] = TOKEN
        yield fake


class Ticking:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


Open = Callable[..., Infisical]


@pytest.fixture
def vault(infisical: FakeInfisical, tmp_path: Path, clock: Ticking) -> Iterator[Open]:
    (tmp_path / "client-secret").write_text(CLIENT_SECRET)
    opened: list[Infisical] = []

    def make(url: str = "", client_id: str | None = CLIENT_ID) -> Infisical:
        opened.append(
            Infisical(
                url or infisical.url,
                client_id=client_id,
                client_secret_ref=f"file:{tmp_path}/client-secret",
                context=trusted,
                clock=clock,
            )
        )
        return opened[-1]

    yield make
    for one in opened:
        one.close()


async def token(vault: Infisical, reference: str = REFERENCE, *, fresh: bool = False) -> str:
    return (await resolve(reference, ("token",), fresh=fresh, vault=vault))["token"]


async def test_a_value_is_read_once_a_minute_however_many_runs_ask(
    infisical: FakeInfisical, vault: Open, clock: Ticking
) -> None:
    opened = vault()
    assert set(await asyncio.gather(*(token(opened) for _ in range(20)))) == {TOKEN}
    infisical.values[PLACE] = "the next key"
    assert await token(opened) == TOKEN
    assert (infisical.logins, infisical.reads) == (1, ["OZON_MAIN"])
    clock.now += FRESH_FOR
    assert await token(opened) == "the next key"
    assert infisical.logins == 1


async def test_the_doctor_reads_it_where_the_settings_say(
    infisical: FakeInfisical, database: Database, tmp_path: Path
) -> None:
    (tmp_path / "client-secret").write_text(CLIENT_SECRET)
    settings = load(
        database_url=database.worker_url,
        owner_database_url=database.owner_url,
        infisical_url=infisical.url,
        infisical_client_id=CLIENT_ID,
        infisical_client_secret_ref=f"file:{tmp_path}/client-secret",
    )
    infisical.values[PLACE] = '{"client_id": "7", "api_key": "canary-ozon-key-78"}'
    async with database.connect("collector_admin") as admin:
        await admin.execute(
            "WITH o AS (INSERT INTO core.organization (name) VALUES ('Sunrise') RETURNING id)"
            " INSERT INTO core.marketplace_account (organization_id, marketplace, name, external_id, secret_ref)"
            " SELECT id, 'ozon', 'shop', '7', $1 FROM o",
            REFERENCE,
        )
    async with Patient.opened(settings, processes=1) as patient:
        assert await secrets(patient) == [(Level.OK, "1 secrets can be had here")]


async def test_after_a_refused_key_it_is_read_anew(infisical: FakeInfisical, vault: Open) -> None:
    opened = vault()
    assert await token(opened) == TOKEN
    infisical.values[PLACE] = "the next key"
    assert await token(opened, fresh=True) == "the next key"
    assert await token(opened) == "the next key"
    assert len(infisical.reads) == 2


async def test_a_project_may_be_named_by_its_id_and_a_value_may_be_an_object(
    infisical: FakeInfisical, vault: Open
) -> None:
    project = "0b6f4c2e-9a43-4a57-8d0f-0d6f3c0f7a11"
    infisical.values[f"id {project}", "dev", "/", "OZON"] = f'{{"client_id": "7", "api_key": "{TOKEN}"}}'
    found = await resolve(f"infisical:{project}/dev/OZON", ("client_id", "api_key"), vault=vault())
    assert found == {"client_id": "7", "api_key": TOKEN}


@pytest.mark.parametrize("ends_with", [(401, "UnauthorizedError"), (403, "TokenError")])
async def test_an_access_token_that_is_over_is_replaced(
    infisical: FakeInfisical, vault: Open, clock: Ticking, ends_with: tuple[int, str]
) -> None:
    opened = vault()
    await token(opened)
    infisical.end_token(*ends_with)
    assert await token(opened, fresh=True) == TOKEN
    assert infisical.logins == 2
    clock.now += infisical.expires_in
    assert await token(opened) == TOKEN
    assert infisical.logins == 3


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ("infisical:bronze/prod/shops/NOWHERE", "NOWHERE is not there: put the secret there or correct secret_ref"),
        ("infisical:bronze/prod/shops/FORBIDDEN", "FORBIDDEN may not be read: let the machine identity read it"),
        ("infisical:bronze/prod/shops/HIDDEN", "HIDDEN may not be read"),
    ],
)
async def test_what_cannot_be_read_is_named(
    infisical: FakeInfisical, vault: Open, reference: str, complaint: str
) -> None:
    infisical.forbidden, infisical.hidden = {"FORBIDDEN"}, {"HIDDEN"}
    infisical.values["bronze", "prod", "/shops", "HIDDEN"] = TOKEN
    opened = vault()
    await token(opened)
    with pytest.raises(SecretUnavailable, match=complaint):
        await token(opened, reference)
    assert infisical.logins == 1, "it is not about the access token"


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda: web.json_response({"message": CLIENT_SECRET}, status=503), "cannot be used .status 503."),
        (lambda: web.Response(text="<html>"), "its answer is not one of Infisical's"),
        (lambda: web.json_response([1]), "its answer is not one of Infisical's"),
        (lambda: web.Response(status=307, headers={"Location": "/elsewhere"}), "its answer is not one of Infisical's"),
    ],
)
@pytest.mark.parametrize("when", ["login", "read"])
async def test_a_server_that_does_not_answer_as_it_should_is_named_and_not_quoted(
    infisical: FakeInfisical, vault: Open, answer: Callable[[], web.StreamResponse], complaint: str, when: str
) -> None:
    opened = vault()
    if when == "read":
        await token(opened)
    infisical.fails.append(answer())
    with pytest.raises(SecretUnavailable, match=complaint) as refusal:
        await token(opened, fresh=True)
    assert "canary" not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert await token(opened) == TOKEN, "and comes back by itself"


async def test_a_server_that_is_down_is_known_at_once(vault: Open) -> None:
    """The SDK alone would try for fifteen seconds."""
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        opened = vault(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        async with asyncio.timeout(2):
            with pytest.raises(SecretUnavailable, match=r"cannot be used \(ConnectionError\): check that it runs"):
                await token(opened)


async def test_an_identity_that_is_refused_or_missing_is_said_by_the_names_of_the_settings(vault: Open) -> None:
    with pytest.raises(SecretUnavailable, match=r"refuses the machine identity \(401\): check COLLECTOR_INFISICAL_CL"):
        await token(vault(client_id="somebody else"))
    with pytest.raises(SecretUnavailable, match="set COLLECTOR_INFISICAL_CLIENT_ID"):
        await token(vault(client_id=None))


@pytest.mark.parametrize("reference", ["infisical:bronze/prod", "infisical:a//b/C", "infisical:a/b/c?x", "infisical:"])
def test_a_reference_that_names_no_place_is_refused(reference: str) -> None:
    with pytest.raises(ValueError, match="project/environment/folder/NAME"):
        check_ref(reference)
