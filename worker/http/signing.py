"""What signs one run's requests: the account's secret, or the token that its keys were exchanged for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from collectors.errors import StreamUnavailable
from collectors.login import ACCESS_TOKEN, Login
from collectors.stream import Fetch, Request, Secret, Stream
from worker.http.login import Logins
from worker.http.targets import Target, login_for, target
from worker.http.task import Task

Resolve = Callable[[], Awaitable[Secret]]  # what the account's secret is now


@dataclass(kw_only=True, eq=False)
class Signing:
    """The keys of one run. `fetch` makes the exchange: through the account's proxy and limits, like any request."""

    fetch: Fetch = field(repr=False)
    stream: Stream = field(repr=False)
    account_id: str
    secret: Secret = field(repr=False)
    resolve: Resolve = field(repr=False)
    logins: Logins = field(repr=False)
    hosts: Mapping[str, str]
    now: Callable[[], datetime]
    tokens: set[str] = field(default_factory=set, repr=False)  # that signed

    def target(self, request: Request, token: str) -> Target:
        """Address and sign a request, by the token if there is one. Raises StreamUnavailable if no key of ours may."""
        knows = self.stream.marketplace.knows
        if knows is not None and request.signed and (why := knows(self.secret).lacks(self.stream, request)):
            raise StreamUnavailable(why)  # a refusal would cost the seller's budget, at some hosts tenfold
        secret = {**self.secret, ACCESS_TOKEN: token} if token else self.secret
        return target(request, self.stream.marketplace, secret, hosts=self.hosts, now=self.now)

    async def token(self, request: Request) -> str:
        """Return the token that signs this request; "" where the secret does. Raises what kept us from it."""
        login = self._login(request)
        if login is None:
            return ""
        token = await self.logins.token(self.account_id, login, lambda: self.secret, self.fetch)
        self.tokens.add(token)
        return token

    async def sign_anew(self, task: Task) -> None:
        """Sign a refused request by what signs now. Should there be no token, another attempt will not help."""
        task.is_spent = True
        task.token = await self.token(task.request)
        task.target = self.target(task.request, task.token)
        task.is_spent = False

    async def renew(self, task: Task) -> bool:
        """Tell whether something else may sign a request that was refused.

        A token is renewed once. Then we look what the secret is: somebody may have replaced it since the run began.
        """
        login = self._login(task.request)
        if login is not None and not task.is_renewed:
            task.is_renewed = True
            self.logins.forget(self.account_id, login, task.token)
            return True
        before, self.secret = self.secret, await self.resolve()
        return self.secret != before

    def refuse(self, task: Task, why: str) -> None:
        """The keys are refused. Raises StreamUnavailable if the account can do without them."""
        login = self.stream.marketplace.logins.get(task.request.host)
        if login is not None and login.optional:
            told = f"{' and '.join(login.fields)}: {why}"
            self.logins.refuse(self.account_id, login, told)
            raise login.refusal(told) from None

    def _login(self, request: Request) -> Login | None:
        """Return the login whose token signs the request, if one does."""
        if not request.signed or login_for(request, self.stream.marketplace) is not None:
            return None
        return self.stream.marketplace.logins.get(request.host)
