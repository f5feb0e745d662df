import io
import json
import logging
from collections.abc import Iterator
from uuid import UUID

import pytest
import structlog

from worker.logs import configure, mask_text, remember_secret

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzaWQiOiIxMjMifQ.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in ("httpx", "httpcore", "asyncio", "arq")}
    yield
    root.handlers, root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_the_time_in_utc(stream: io.StringIO) -> None:
    configure("auto", "INFO", stream=stream)
    structlog.get_logger("worker.x").info("page kept", stream="orders", organization=UUID(int=1), rows=3)
    (line,) = lines(stream)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "event": "page kept",
        "level": "info",
        "logger": "worker.x",
        "stream": "orders",
        "organization": "00000000-0000-0000-0000-000000000001",
        "rows": 3,
    }


def test_the_standard_librarys_loggers_go_the_same_way(stream: io.StringIO) -> None:
    configure("json", "INFO", stream=stream)
    logging.getLogger("alembic").info("Running upgrade %s with %s", "0001", JWT)
    (line,) = lines(stream)
    assert line["event"] == "Running upgrade 0001 with ***"
    assert line["logger"] == "alembic"


def test_the_console_form_is_for_people_and_masked_as_well(stream: io.StringIO) -> None:
    configure("console", "INFO", stream=stream)
    structlog.get_logger("worker.x").info("token read", token=JWT, note=JWT)
    assert "token read" in stream.getvalue()
    assert JWT not in stream.getvalue()


def test_events_under_the_level_are_left_out(stream: io.StringIO) -> None:
    configure("json", "WARNING", stream=stream)
    structlog.get_logger("worker.x").info("unseen")
    assert lines(stream) == []


def test_httpx_says_nothing_of_its_requests(stream: io.StringIO) -> None:
    configure("json", "DEBUG", stream=stream)
    logging.getLogger("httpx").info("HTTP Request: GET https://host/?key=value")
    logging.getLogger("httpcore.http11").debug("send_request_headers")
    assert lines(stream) == []


def test_values_of_secret_keys_are_masked_at_any_depth(stream: io.StringIO) -> None:
    configure("json", "INFO", stream=stream)
    structlog.get_logger("worker.x").info(
        "sent", headers=[{"Api-Key": "abc", "Client-Id": "12"}], password=12345, secret_ref="env:WB", authorization=None
    )
    (line,) = lines(stream)
    assert line["headers"] == [{"Api-Key": "***", "Client-Id": "12"}]
    assert (line["password"], line["secret_ref"], line["authorization"]) == ("***", "env:WB", None)


def test_a_remembered_secret_is_masked_in_events_values_objects_and_tracebacks(stream: io.StringIO) -> None:
    class Holder:
        def __repr__(self) -> str:
            return "Holder(canary/one)"

    remember_secret("canary/one")
    configure("json", "INFO", stream=stream)
    log = structlog.get_logger("worker.x")
    log.info("event canary/one", holder=Holder(), raw=b"canary/one", quoted="?key=canary%2Fone")
    try:
        int("inner canary/one")
    except ValueError as error:
        log.exception("failed", error=error)
        logging.getLogger("other").exception("failed too")
    assert "canary" not in stream.getvalue()
    assert stream.getvalue().count("base 10: 'inner ***'") == 3


def test_of_two_secrets_with_the_same_beginning_the_longer_is_masked() -> None:
    remember_secret("beginning")
    remember_secret("beginning-and-end")
    assert mask_text("<beginning-and-end> <beginning>") == "<***> <***>"


def test_a_text_of_under_six_characters_is_not_remembered() -> None:
    remember_secret("page")
    assert mask_text("page kept") == "page kept"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("redis://:pass@cache:6379/0", "redis://:***@cache:6379/0"),
        (
            "postgresql://user:p@ss@db/x and https://plain.host/a@b",
            "postgresql://user:***@db/x and https://plain.host/a@b",
        ),
        ("https://token@proxy:3128", "https://***@proxy:3128"),
        (f"got {JWT}.", "got ***."),
        ("{'Authorization': 'Bearer abc.def', 'x': 1}", "{'Authorization': 'Bearer ***', 'x': 1}"),
        ("(b'Api-Key', b'abc')", "(b'Api-Key', b'abc')"),
        ("api_key=abc&x=1", "api_key=***&x=1"),
        ("the token bucket of orders is empty", "the token bucket of orders is empty"),
    ],
)
def test_what_looks_like_a_secret_is_masked_in_texts(text: str, masked: str) -> None:
    assert mask_text(text) == masked
