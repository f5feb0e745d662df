"""What the sandbox remembers of its doings: served bodies, requests, violations, and failures still to be played."""

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256

from sandbox.records import zulu
from sandbox.wire import Endpoint, Reply


@dataclass(frozen=True)
class Served:
    """A 200 body of a stream or of a report's file. The digest is of the body before any content encoding."""

    sha256: str
    marketplace: str
    stream: str
    seller: str
    status: int
    at: str
    records: int


@dataclass(frozen=True)
class Violation:
    """A request over a rate limit. `at` is by the data clock."""

    marketplace: str
    stream: str
    seller: str
    bucket: str
    at: str


@dataclass
class Failure:
    """How the next `count` requests of a stream are answered: with the vendor's body for `status`, or with `body`."""

    marketplace: str
    stream: str
    count: int = 1
    status: int = 200
    body: str | None = None
    content_type: str = "application/json"
    seller: str | None = None
    retry: int = 1

    def concerns(self, endpoint: Endpoint, seller: str) -> bool:
        """`united_netting` means every step of the report, `united_netting/info` that step."""
        return (
            self.count > 0
            and self.marketplace == endpoint.marketplace
            and self.stream in {endpoint.stream, endpoint.name}
            and self.seller in {None, seller}
        )


class Ledger:
    """Lives as long as the process."""

    def __init__(self) -> None:
        self.served: list[Served] = []
        self.violations: list[Violation] = []
        self.requests: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()  # for their credentials, by marketplace
        self._failures: list[Failure] = []

    def request(self, endpoint: Endpoint) -> None:
        self.requests[f"{endpoint.marketplace}/{endpoint.name}"] += 1

    def violation(self, endpoint: Endpoint, seller: str, bucket: str, at: datetime) -> None:
        self.violations.append(Violation(endpoint.marketplace, endpoint.name, seller, bucket, zulu(at)))

    def serve(self, endpoint: Endpoint, seller: str, answer: Reply, at: datetime) -> None:
        if answer.status == 200 and endpoint.brings_records:
            digest = sha256(answer.body).hexdigest()
            self.served.append(
                Served(digest, endpoint.marketplace, endpoint.stream, seller, answer.status, zulu(at), answer.records)
            )

    def plan(self, failure: Failure) -> None:
        self._failures.append(failure)

    def recover(self) -> None:
        """Fail no more, whatever was planned."""
        self._failures.clear()

    def next_failure(self, endpoint: Endpoint, seller: str) -> Failure | None:
        """The failure to play now, which is thereby spent once."""
        for failure in self._failures:
            if failure.concerns(endpoint, seller):
                failure.count -= 1
                return failure
        return None


def as_rows(items: list[Served] | list[Violation]) -> list[dict[str, object]]:
    return [asdict(item) for item in items]
