"""Secrets: an account holds a reference, and the value is fetched at the last moment, for one run."""

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

import msgspec

from worker.logs import remember_secret

_SCHEMES = "env:NAME, file:/absolute/path or infisical:project/environment/NAME"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # of a place in Infisical; nothing that means something in a URL
_LARGEST_FILE = 64 * 1024  # a token is some 400 bytes; /dev/zero has no end


class SecretUnavailable(Exception):
    """The value behind a reference cannot be used now. The message names the reference, never what is there."""


class Vault(Protocol):
    """Where the values of references `infisical:` are."""

    async def read(self, reference: str, *, fresh: bool = False) -> str:
        """Return the value behind what follows the scheme. `fresh`: as it is now. Raises SecretUnavailable."""
        ...


class Resolve(Protocol):
    """`resolve` with a vault: a reference → what it stands for."""

    async def __call__(
        self, secret_ref: str, fields: tuple[str, ...], /, *, fresh: bool = False
    ) -> Mapping[str, str]: ...


class Place(NamedTuple):
    """Where a secret is in Infisical."""

    project: str  # its slug or its id
    environment: str
    folder: str
    name: str


def place_in_infisical(reference: str) -> Place:
    """Read `project/environment/folder/NAME`, with any number of folders. Raises ValueError."""
    parts = reference.split("/")
    if len(parts) < 3 or not all(map(_PART.fullmatch, parts)):
        raise ValueError(
            "a reference infisical:project/environment/folder/NAME needs a project, an environment and a name, and "
            "perhaps folders between them"
        )
    project, environment, *folders, name = parts
    return Place(project, environment, "/" + "/".join(folders), name)


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
        case "infisical":
            place_in_infisical(rest)
        case _:
            raise ValueError(f"this is not a reference to a secret: write {_SCHEMES}, never the secret itself")


async def resolve(
    secret_ref: str, fields: tuple[str, ...], *, fresh: bool = False, vault: Vault | None = None
) -> Mapping[str, str]:
    """The values behind the reference, at least one for each of `fields`; the logs mask them from now on.

    What is found is a JSON object of texts, or a plain text, which then is the first field. Variables and files are
    read each time; `fresh` says that the vault should be, too. Raises SecretUnavailable.
    """
    try:
        check_ref(secret_ref)
    except ValueError as error:
        raise SecretUnavailable(f"the account's secret_ref cannot be followed: {error}") from None
    scheme, _, rest = secret_ref.partition(":")
    match scheme:
        case "env":
            text = _from_environment(rest)
        case "file":
            text = await asyncio.to_thread(_from_file, Path(rest))
        case _ if vault is None:
            raise SecretUnavailable(f"{secret_ref} cannot be read here: put this secret into a variable or a file")
        case _:
            text = await vault.read(rest, fresh=fresh)
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
