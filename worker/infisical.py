"""Secrets that are kept in Infisical, read with its own SDK as a machine identity (universal auth).

A reference is `infisical:project/environment/folder/NAME`: the project's slug or id, the environment's slug, no folder
or several of them, and the name. What was read is good for a minute, so that a fleet of runs asks once; whoever has
seen a key refused asks anew.

The SDK (infisicalsdk 1.0.17) waits for ever, follows redirects with the client secret in the body, takes proxies and
passwords from the environment, repeats a failed request for 15 s and is not asynchronous: all of that is set right
here. It brings boto3 with it (35 MB), so it is an extra, and imported (0.4 s) when a reference first needs it.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from worker.http.pools import trusted
from worker.secrets import Resolve, SecretUnavailable, place_in_infisical, resolve
from worker.settings import Settings

if TYPE_CHECKING:
    from infisical_sdk import InfisicalSDKClient

FRESH_FOR = 60.0  # seconds that a value which was read is taken again
_WITHIN = 15.0  # seconds for everything that one reading needs
_TIMEOUTS = (5.0, 10.0)  # seconds: to connect, and for the next bytes
_AT_ONCE = 4  # readings
_RENEWED_BEFORE = 60.0  # seconds that an access token must still be good for
_KNOWN = 5000  # values kept at most


class _NoAnswer(Exception):
    """Infisical did not answer. Not an error of `requests`, which the SDK would repeat for 15 s."""


@contextmanager
def secrets_of(settings: Settings) -> Iterator[Resolve]:
    """Give what resolves every kind of reference, as the settings say where Infisical is."""
    vault = Infisical(
        settings.infisical_url,
        client_id=settings.infisical_client_id,
        client_secret_ref=settings.infisical_client_secret_ref,
        context=lambda: trusted(settings.ca_file),
    )
    try:
        yield partial(resolve, vault=vault)
    finally:
        vault.close()


class Infisical:
    """Reads secrets. `client_secret_ref` says where the client secret is: `env:NAME` or `file:/path`."""

    def __init__(
        self,
        url: str,
        *,
        client_id: str | None,
        client_secret_ref: str | None,
        context: Callable[[], ssl.SSLContext],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._client_id = client_id
        self._client_secret_ref = client_secret_ref
        self._context = context
        self._clock = clock
        self._known: dict[str, tuple[str, float]] = {}
        self._readings: dict[str, asyncio.Task[str]] = {}
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="infisical")
        self._login = threading.Lock()
        self._client: InfisicalSDKClient | None = None
        self._good_until = 0.0

    async def read(self, reference: str, *, fresh: bool = False) -> str:
        """Return the value behind a reference (without its scheme). `fresh`: not what was read before.

        Raises SecretUnavailable.
        """
        known = self._known.get(reference)
        if known is not None and not fresh and self._clock() - known[1] < FRESH_FOR:
            return known[0]
        reading = self._readings.get(reference)
        if reading is None:
            reading = self._readings[reference] = asyncio.create_task(self._read(reference))
            reading.add_done_callback(lambda done: self._ended(reference, done))
        # Whoever began it may be cancelled; the others still wait for it.
        return await asyncio.shield(reading)

    def close(self) -> None:
        """Stop reading. A thread that waits for an answer ends with its timeouts."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.api.session.close()

    def _ended(self, reference: str, reading: asyncio.Task[str]) -> None:
        del self._readings[reference]
        _ = reading.cancelled() or reading.exception()  # asyncio complains of one that nobody is left to see

    async def _read(self, reference: str) -> str:
        client_id, client_secret = await self._credentials(reference)
        self._known.pop(reference, None)
        began = self._clock()
        try:
            async with asyncio.timeout(_WITHIN):
                value = await asyncio.get_running_loop().run_in_executor(
                    self._threads, self._fetch, reference, client_id, client_secret
                )
        except (TimeoutError, _NoAnswer) as error:
            why = str(error) or f"no answer within {_WITHIN:.0f} s"
            raise SecretUnavailable(
                f"Infisical at {self._url} cannot be used ({why}): check that it runs and that COLLECTOR_INFISICAL_URL "
                "is right"
            ) from None
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[reference] = value, began
        return value

    async def _credentials(self, reference: str) -> tuple[str, str]:
        if self._client_id is None or self._client_secret_ref is None:
            raise SecretUnavailable(
                f"infisical:{reference} needs a machine identity: set COLLECTOR_INFISICAL_CLIENT_ID and "
                "COLLECTOR_INFISICAL_CLIENT_SECRET_REF where the worker runs"
            )
        return self._client_id, (await resolve(self._client_secret_ref, ("client_secret",)))["client_secret"]

    def _fetch(self, reference: str, client_id: str, client_secret: str) -> str:
        try:
            from infisical_sdk.infisical_requests import APIError, InfisicalError  # noqa: PLC0415 - see above
            from requests import RequestException  # noqa: PLC0415
        except ImportError:
            raise SecretUnavailable(
                f"infisical:{reference} needs Infisical's SDK: pip install 'bronze-collector[infisical]'"
            ) from None
        # What the SDK raises quotes the server's words, which are not ours to repeat: `from None` everywhere.
        try:
            client, is_new = self._logged_in(client_id, client_secret)
            try:
                return self._value(client, reference)
            except APIError as error:
                # 401: the access token was withdrawn; 403 TokenError: it is over. Any other 403 is about rights.
                is_over = error.status_code == 401 or error.response.get("error") == "TokenError"
                if is_new or not is_over:
                    raise
            self._good_until = 0.0
            return self._value(self._logged_in(client_id, client_secret)[0], reference)
        except APIError as error:
            raise _refusal(reference, error.status_code) from None
        except (InfisicalError, RequestException, LookupError, TypeError, ValueError, AttributeError):
            raise _NoAnswer("its answer is not one of Infisical's") from None

    def _logged_in(self, client_id: str, client_secret: str) -> tuple[InfisicalSDKClient, bool]:
        """Return a client with an access token, and whether that is new."""
        from infisical_sdk import InfisicalSDKClient  # noqa: PLC0415
        from infisical_sdk.infisical_requests import APIError  # noqa: PLC0415

        with self._login:
            if self._client is not None and self._clock() < self._good_until:
                return self._client, False
            if self._client is None:
                client = InfisicalSDKClient(self._url, cache_ttl=None)
                _set_right(client, self._context())
                self._client = client
            self._client.api.session.headers.pop("Authorization", None)
            try:
                login = self._client.auth.universal_auth.login(client_id, client_secret)
            except APIError as error:
                if error.status_code not in {400, 401, 403, 404}:
                    raise
                raise SecretUnavailable(
                    f"Infisical at {self._url} refuses the machine identity ({error.status_code}): check "
                    "COLLECTOR_INFISICAL_CLIENT_ID and COLLECTOR_INFISICAL_CLIENT_SECRET_REF"
                ) from None
            self._good_until = self._clock() + login.expiresIn - _RENEWED_BEFORE
            return self._client, True

    @staticmethod
    def _value(client: InfisicalSDKClient, reference: str) -> str:
        place = place_in_infisical(reference)
        is_id = _is_uuid(place.project)
        secret = client.secrets.get_secret_by_name(
            secret_name=place.name,
            environment_slug=place.environment,
            secret_path=place.folder,
            project_id=place.project if is_id else None,
            project_slug=None if is_id else place.project,
        )
        if secret.secretValueHidden:
            raise _refusal(reference, 403)
        return str(secret.secretValue)


def _refusal(reference: str, status: int) -> Exception:
    match status:
        case 404:
            return SecretUnavailable(f"infisical:{reference} is not there: put the secret there or correct secret_ref")
        case 401 | 403:
            return SecretUnavailable(
                f"infisical:{reference} may not be read: let the machine identity read it in the project's access "
                "control"
            )
        case 400 | 422:
            return SecretUnavailable(f"infisical:{reference} is no place that Infisical knows: correct secret_ref")
    return _NoAnswer(f"status {status}")


def _is_uuid(project: str) -> bool:
    try:
        UUID(project)
    except ValueError:
        return False
    return True


def _set_right(client: InfisicalSDKClient, context: ssl.SSLContext) -> None:
    """Give the SDK's session time limits and our certificates, and nothing of the environment."""
    from requests import PreparedRequest, RequestException, Response  # noqa: PLC0415
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    class Limited(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options, ssl_context=context)

        def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
            try:
                return super().send(request, *args, **{**options, "timeout": _TIMEOUTS})
            except RequestException as error:
                raise _NoAnswer(type(error).__name__) from None

    session = client.api.session
    session.trust_env = False
    session.max_redirects = 0
    for scheme in ("https://", "http://"):
        session.mount(scheme, Limited(pool_maxsize=_AT_ONCE))
