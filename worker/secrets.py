"""Secrets: an account holds a reference, and the value is fetched at the last moment, for one run."""

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from worker.logs import remember_secret

_SCHEMES = "env:NAME or file:/absolute/path"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LARGEST_FILE = 64 * 1024  # a token is some 400 bytes; /dev/zero has no end


class SecretUnavailable(Exception):
    """The value behind a reference cannot be used now. The message names the reference, never what is there."""


def check_ref(ref: str) -> None:
    """Raise ValueError unless this is a reference that we can follow. What may be a secret is not repeated."""
    scheme, _, rest = ref.partition(":")
    match scheme:
        case "env":
            if not _NAME.fullmatch(rest):
                raise ValueError("a reference env:NAME needs the name of an environment variable, not a value")
        case "file":
            if not rest.startswith("/") or not rest.isprintable():
                raise ValueError("a reference file:/absolute/path needs an absolute path")
        case _:
            raise ValueError(f"this is not a reference to a secret: write {_SCHEMES}, never the secret itself")


async def resolve(secret_ref: str, fields: tuple[str, ...]) -> Mapping[str, str]:
    """The values behind the reference, at least one for each of `fields`; the logs mask them from now on.

    What is found is a JSON object of texts, or a plain text, which then is the first field. Raises SecretUnavailable.
    """
    try:
        check_ref(secret_ref)
    except ValueError as error:
        raise SecretUnavailable(f"the account's secret_ref cannot be followed: {error}") from None
    scheme, _, rest = secret_ref.partition(":")
    text = _from_environment(rest) if scheme == "env" else await asyncio.to_thread(_from_file, Path(rest))
    values = _read(text.strip(), fields, secret_ref)
    for value in values.values():
        remember_secret(value)
    return MappingProxyType(values)


def _from_environment(name: str) -> str:
    # Not a setting: which variables there are is in the accounts, and they may change between two runs.
    value = os.environ.get(name)  # noqa: TID251
    if not value:
        raise SecretUnavailable(f"env:{name} is not set or empty: set the variable where the worker runs")
    return value


def _from_file(path: Path) -> str:
    try:
        if not path.is_file():
            raise SecretUnavailable(f"file:{path} is not a file: put the secret there or correct secret_ref")
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise SecretUnavailable(
            f"file:{path} cannot be read ({error.strerror}): let the worker's user read it"
        ) from None
    if len(raw) > _LARGEST_FILE:
        raise SecretUnavailable(f"file:{path} is larger than {_LARGEST_FILE // 1024} KB, so it is not a secret")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        # `from None`, here and below: the cause would carry the content.
        raise SecretUnavailable(f"file:{path} is not UTF-8 text: write the secret into it as text") from None


def _read(text: str, fields: tuple[str, ...], secret_ref: str) -> dict[str, str]:
    if not text:
        raise SecretUnavailable(f"{secret_ref} is empty: put the secret there")
    if text.startswith("{"):
        try:
            values = msgspec.json.decode(text, type=dict[str, str])
        except msgspec.DecodeError:
            raise SecretUnavailable(f"{secret_ref} begins like JSON but is not an object of texts") from None
    else:
        values = {fields[0]: text}
    missing = [name for name in fields if not values.get(name, "").strip()]
    if missing:
        wanted = ", ".join(f'"{name}"' for name in fields)
        raise SecretUnavailable(f"{secret_ref} lacks {', '.join(missing)}: make it a JSON object with {wanted}")
    # A line break would end the header, and the HTTP library would quote the value in its complaint.
    unfit = [name for name, value in values.items() if not value.isprintable()]
    if unfit:
        raise SecretUnavailable(f"{secret_ref} has a line break or another control character in {', '.join(unfit)}")
    return values
