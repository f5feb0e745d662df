"""Settings: one frozen value, read once from the variables COLLECTOR_*. Nothing else reads the environment for them."""

import os
import pwd
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from worker.port import HttpAddress, http_address

_PREFIX = "COLLECTOR_"
_POSTGRES_SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


class SettingsError(Exception):
    """A setting is missing or wrong. The message names the variable and what to do, never a value with a password."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is and who we are there. Its repr shows no password."""

    host: str = "localhost"
    port: int = 6379
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    unix_path: str | None = None


def redis_parts(url: str) -> RedisAddress:
    """Take `redis://`, `rediss://` or `unix://` apart; user and password are percent-decoded.

    Raises ValueError with a sentence that holds nothing of the URL.
    """
    parts = _split(url)
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("must begin with redis://, rediss:// or unix://")
    query = _query(parts, known=("db",) if parts.scheme == "unix" else ())
    number = query.get("db", "0") if parts.scheme == "unix" else parts.path.strip("/") or "0"
    if not (number.isascii() and number.isdecimal()):
        raise ValueError("must name the database by a number, as in redis://localhost:6379/0 or unix:///socket?db=0")
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    if parts.scheme == "unix":
        if parts.hostname or not parts.path.startswith("/"):
            raise ValueError("must hold the absolute path of a socket, as in unix:///run/valkey.sock?db=0")
        path = unquote(parts.path)
        return RedisAddress(database=int(number), username=username, password=password, unix_path=path)
    if not parts.hostname:
        raise ValueError("must name a host, as in redis://localhost:6379/0")
    return RedisAddress(
        host=parts.hostname,
        port=parts.port or 6379,
        database=int(number),
        username=username,
        password=password,
        tls=parts.scheme == "rediss",
    )


def postgres_url(url: str) -> str:
    """The URL as SQLAlchemy wants it: scheme `postgresql`, and `sslmode` under the name that asyncpg knows, `ssl`.

    Raises ValueError with a sentence that holds nothing of the URL.
    """
    parts = _split(url)
    if parts.scheme not in _POSTGRES_SCHEMES:
        raise ValueError("must begin with postgresql://")
    if not parts.hostname:
        raise ValueError("must name a host, as in postgresql://user:password@host:5432/database")
    if not parts.path.strip("/") or "/" in parts.path[1:]:
        raise ValueError("must name one database, as in postgresql://user:password@host:5432/database")
    query = _query(parts, known=("ssl", "sslmode"))
    if len(query) > 1:
        raise ValueError("must say sslmode once")
    ssl_mode = next(iter(query.values()), None)
    if ssl_mode is not None and ssl_mode not in _SSL_MODES:
        raise ValueError(f"has an unknown sslmode; there are {', '.join(_SSL_MODES)}")
    return parts._replace(scheme="postgresql", query=f"ssl={ssl_mode}" if ssl_mode else "").geturl()


def _split(url: str) -> SplitResult:
    # A bare / or # in a password makes the rest of it the port, the path or the fragment: the message quotes nothing.
    not_a_url = ValueError("is not a URL; write / ? # @ in a password as %2F %3F %23 %40")
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # urllib looks at it only now
    except ValueError:
        raise not_a_url from None
    if parts.fragment or "@" in parts.path:
        raise not_a_url
    return parts


def _query(parts: SplitResult, *, known: tuple[str, ...]) -> dict[str, str]:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    # An unescaped ? in a password ends up here, so the unknown name itself stays unsaid.
    if any(name not in known for name, _ in pairs):
        allowed = f"only {' and '.join(known)} may stand there" if known else "none may stand there"
        raise ValueError(f"has an unknown parameter after the question mark; {allowed}")
    if len(dict(pairs)) < len(pairs):
        raise ValueError("says one parameter twice")
    return dict(pairs)


def _read_http_address(value: object) -> object:
    return http_address(str(value)) if isinstance(value, str | int) else value


def _read_hosts(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value, type=dict[str, str])
    except msgspec.DecodeError as error:
        raise ValueError(
            'must be a JSON object of texts, as in {"api.example.com": "https://127.0.0.1:8443"}'
        ) from error


def _check_hosts(hosts: Mapping[str, str]) -> Mapping[str, str]:
    for host, base in hosts.items():
        if not _HOST_NAME.fullmatch(host):
            raise ValueError(f"has a key that is not a host name in small letters: {host!r}")
        parts = _split(base)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError(f"must give {host} an address that begins with https://")
        if parts.username is not None or parts.password is not None or parts.query:
            raise ValueError(f"must give {host} an address without user, password and question mark")
    return MappingProxyType({host: base.strip().rstrip("/") for host, base in hosts.items()})


def _check_address_teller(url: str) -> str:
    parts = _split(url)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        raise ValueError("must begin with https:// and name a host, without user and password")
    return url.strip()


def _check_otel_url(url: str | None) -> str | None:
    if url is None:
        return None
    parts = _split(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise ValueError(
            "must begin with http:// or https:// and name a host, without user and password, "
            "as in http://127.0.0.1:4318/v1/traces"
        )
    return url.strip()


def _check_infisical(url: str) -> str:
    parts = _split(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username is not None or parts.query:
        raise ValueError("must begin with https:// (or http://) and name a host, without user and password")
    return url.strip().rstrip("/")


def _check_ref(ref: str) -> str:
    if not ref.startswith(("env:", "file:/")):
        raise ValueError("must say where the secret is, env:NAME or file:/absolute/path, and not be the secret")
    return ref


def _existing_file(path: Path) -> Path:
    path = path.expanduser().absolute()
    if not path.is_file():
        raise ValueError(f"names a file that does not exist: {path}")
    return path


def _own_home() -> Path:
    # XDG: an empty or relative value counts as none. HOME may be empty too, as it is under some supervisors.
    environment = os.environ  # noqa: TID251 - this is the module that the ban points to
    data = environment.get("XDG_DATA_HOME", "")
    if not data.startswith("/"):
        home = environment.get("HOME", "")
        data = f"{home if home.startswith('/') else _home_of_account()}/.local/share"
    return Path(data) / "bronze-collector"


def _home_of_account() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError as error:  # a container may run under a number that has no account
        raise SettingsError(f"{_PREFIX}HOME is not set and this account has no home: set it to a directory.") from error


def _own_health_file() -> Path:
    return Path(tempfile.gettempdir()) / f"bronze-collector-{os.getuid()}.alive"


class Settings(BaseSettings):
    """What varies per deployment. Secrets in it are hidden from repr; ask for URLs through the methods."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    database_url: SecretStr | None = None
    """PostgreSQL as collector_worker."""
    owner_database_url: SecretStr | None = None
    """PostgreSQL as the owner of the schema: for migrations and the commands that change accounts."""
    redis_url: SecretStr | None = None
    hosts: Annotated[Mapping[str, str], NoDecode, BeforeValidator(_read_hosts), AfterValidator(_check_hosts)] = Field(
        default_factory=lambda: MappingProxyType({})
    )
    """Where a marketplace's host really is: the sandbox, or an egress gateway. Host name to https address."""
    egress_url: Annotated[str, AfterValidator(_check_address_teller)] = "https://api.ipify.org"
    """Answers with the address that it is asked from, as text: for `collector proxy test`."""
    ca_file: Annotated[Path, AfterValidator(_existing_file)] | None = None
    """Certificates (PEM) to trust beside those of certifi."""
    infisical_url: Annotated[str, AfterValidator(_check_infisical)] = "https://app.infisical.com"
    """Where the secrets of references `infisical:…` are read."""
    infisical_client_id: str | None = None
    """The machine identity that reads them (universal auth)."""
    infisical_client_secret_ref: Annotated[str, AfterValidator(_check_ref)] | None = None
    """Where its client secret is."""
    home: Path = Field(default_factory=_own_home)
    """Where the embedded servers keep their files."""
    rate_scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """How many times faster than the vendors' limits; other than 1 only against the sandbox."""
    embedded: bool = False
    """Start PostgreSQL and Valkey on this machine instead of using those of the URLs."""
    partitions_ahead: int = Field(default=3, ge=1, le=12)
    """Months."""
    max_jobs: int = Field(default=50, ge=1, le=1000)
    organization_jobs: int = Field(default=1000, ge=1)
    """Jobs of one organization that may be queued or under way at a time in the whole fleet."""
    account_jobs: int = Field(default=100, ge=1)
    """The same of one account."""
    pool_size: int = Field(default=10, ge=1, le=500)
    """PostgreSQL connections of one worker."""
    pgbouncer: bool = False
    """COLLECTOR_DATABASE_URL leads to a pooler in transaction mode."""
    body_budget_mb: int = Field(default=48, ge=1)
    """Bodies that one worker may hold at a time."""
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    health_file: Path = Field(default_factory=_own_health_file)
    """Touched by the worker's loop; `collector worker --check` looks at its age."""

    http_address: Annotated[HttpAddress | None, NoDecode, BeforeValidator(_read_http_address)] = None
    """Where a worker answers /healthz, /readyz and /metrics; None: nowhere."""
    slow_query_seconds: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """A statement that takes longer is logged; 0: none is."""
    otel_url: Annotated[str | None, AfterValidator(_check_otel_url)] = None
    """Where traces are sent by OTLP over HTTP; None: there are none."""

    @field_validator("database_url", "owner_database_url")
    @classmethod
    def _check_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(postgres_url(value.get_secret_value()))

    @field_validator("redis_url")
    @classmethod
    def _check_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            redis_parts(value.get_secret_value())
        return value

    @field_validator("home", "health_file")
    @classmethod
    def _make_absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("log_level", mode="before")
    @classmethod
    def _capitalise(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    def worker_postgres(self) -> str:
        """The URL for the worker's role. Raises SettingsError if it is not set."""
        return self._required(self.database_url, "DATABASE_URL", "postgresql://collector_worker:…@host:5432/database")

    def owner_postgres(self) -> str:
        """The URL for the owner's role. Raises SettingsError if it is not set."""
        return self._required(
            self.owner_database_url, "OWNER_DATABASE_URL", "postgresql://collector_owner:…@host:5432/database"
        )

    def redis(self) -> RedisAddress:
        """Raises SettingsError if it is not set."""
        return redis_parts(self._required(self.redis_url, "REDIS_URL", "redis://:…@host:6379/0"))

    def _required(self, value: SecretStr | None, name: str, example: str) -> str:
        if value is None:
            raise SettingsError(
                f"{_PREFIX}{name} is not set: give it a URL such as {example}, "
                f"or set {_PREFIX}EMBEDDED=1 to use servers on this machine."
            )
        return value.get_secret_value()


def load(**overrides: object) -> Settings:
    """Read the environment; `overrides` (by field name) win over it. Raises SettingsError, one sentence."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        variable = _PREFIX + str(first["loc"][0]).upper()
        reason = first.get("ctx", {}).get("error")
        words = str(reason) if reason else _lower_first(first["msg"])
        raise SettingsError(f"{variable} {words}.") from None


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
