from pathlib import Path

import pytest

from worker.logs import mask_text
from worker.secrets import SecretUnavailable, check_ref, resolve

TOKEN = "canary-token-5c1d"
OZON = ("client_id", "api_key")


async def test_a_variable_holds_a_plain_text_which_is_the_first_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", f" {TOKEN}\n")
    assert await resolve("env:SHOP_TOKEN", ("token",)) == {"token": TOKEN}


async def test_a_file_holds_a_json_object_and_fields_nobody_asked_for_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "secret.json"
    file.write_text(f'{{"client_id": "77001", "api_key": "{TOKEN}", "more": "x"}}', encoding="utf-8-sig")
    assert await resolve(f"file:{file}", OZON) == {"client_id": "77001", "api_key": TOKEN, "more": "x"}


async def test_a_file_is_read_anew_for_each_run(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("before-rotation")
    before = await resolve(f"file:{file}", ("token",))
    file.write_text("after-rotation")
    assert (before["token"], (await resolve(f"file:{file}", ("token",)))["token"]) == (
        "before-rotation",
        "after-rotation",
    )


async def test_what_was_resolved_is_masked_in_logs_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "canary-to-be-masked")
    await resolve("env:SHOP_TOKEN", ("token",))
    assert mask_text("sent canary-to-be-masked") == "sent ***"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"client_id": "canary"', "is not an object of texts"),
        (b'{"client_id": "canary", "api_key": 5}', "is not an object of texts"),
        (b'{"client_id": "canary"}', 'lacks api_key: make it a JSON object with "client_id", "api_key"'),
        (b'{"client_id": "canary", "api_key": " "}', "lacks api_key"),
        (b"canary", "lacks api_key"),
        (b'{"client_id": "canary", "api_key": "canary\\r\\nHost: evil"}', "control character in api_key"),
        (b"\xff\xfecanary", "is not UTF-8 text"),
        (b"canary" * 20_000, "is larger than 64 KB"),
    ],
)
async def test_a_file_that_cannot_be_used_is_named_and_not_quoted(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(SecretUnavailable, match=complaint) as refusal:
        await resolve(f"file:{file}", OZON)
    assert str(file) in str(refusal.value)
    assert "canary" not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("reference", ["file:/there/is/none", "file:/dev/zero", "file:/tmp", "env:NO_SUCH_VARIABLE"])
async def test_what_is_not_there_is_named(reference: str) -> None:
    with pytest.raises(SecretUnavailable, match=reference):
        await resolve(reference, ("token",))


@pytest.mark.parametrize("reference", ["env:SHOP_TOKEN", "file:/run/secrets/shop token"])
def test_a_reference_is_accepted(reference: str) -> None:
    check_ref(reference)


@pytest.mark.parametrize(
    "pasted",
    [TOKEN, f"env:{TOKEN}", f"token:{TOKEN}", f"file:{TOKEN}", f"https://{TOKEN}@host", "", "env:", "file:/a\nb"],
)
async def test_a_secret_pasted_as_reference_is_refused_and_not_repeated(pasted: str) -> None:
    with pytest.raises(ValueError, match="reference") as refusal:
        check_ref(pasted)
    assert TOKEN not in str(refusal.value)
    with pytest.raises(SecretUnavailable, match="secret_ref cannot be followed") as unavailable:
        await resolve(pasted, ("token",))
    assert TOKEN not in str(unavailable.value)


def test_an_unknown_scheme_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="env:NAME, file:/absolute/path or infisical:project/environment/NAME"):
        check_ref("vault:shop/token")
