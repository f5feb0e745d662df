"""Logs: structlog and the standard library's loggers through one pipeline, which masks secrets at its end."""

import json
import logging
import re
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from typing import TextIO
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_MASK = "***"
_SHORTEST_SECRET = 6
_MOST_SECRETS = 50_000  # about 10 MB; the eldest are forgotten first
_DEEPEST = 8

_SECRET_KEY = re.compile(
    r"token|passw|authorization|api[-_ ]?key|secret|credential|cookie|private[-_ ]?key|\bpwd\b", re.IGNORECASE
)
_NOT_SECRET_KEYS = frozenset({"secret_ref"})
_JWT = re.compile(r"\beyJ[\w-]{4,}\.[\w-]+(\.[\w-]*)?")
_USER_IN_URL = re.compile(r"(?<=://)(?P<user>[^\s/?#:@\"']*)(?P<password>:[^\s/]*)?@")
_HEADER = re.compile(
    r"(?P<name>\b(?:(?:proxy-)?authorization|(?:x-)?api[-_]?key|client[-_]secret|(?:access[-_]|refresh[-_])token|password)"
    r"\b[\"']?\s*[:=]\s*(?:b(?=[\"']))?[\"']?)(?P<kind>(?:bearer|basic)\s+)?[^\s\"',;&})\]]+",
    re.IGNORECASE,
)

# They log a line with the URL of each request (INFO) and headers (DEBUG).
_QUIET = ("httpx", "httpcore", "asyncio")


class _Secrets:
    """Texts that must not be shown. Looking for them takes one step per character, however many there are."""

    def __init__(self) -> None:
        self._by_start: defaultdict[str, list[str]] = defaultdict(list)
        self._known: OrderedDict[str, None] = OrderedDict()

    def add(self, text: str) -> None:
        if text in self._known:
            self._known.move_to_end(text)
            return
        self._known[text] = None
        same_start = self._by_start[text[:_SHORTEST_SECRET]]
        same_start.append(text)
        same_start.sort(key=len, reverse=True)  # of two that match here, the longer one is masked
        if len(self._known) > _MOST_SECRETS:
            self._forget(self._known.popitem(last=False)[0])

    def _forget(self, text: str) -> None:
        start = text[:_SHORTEST_SECRET]
        self._by_start[start].remove(text)
        if not self._by_start[start]:
            del self._by_start[start]

    def mask(self, text: str) -> str:
        if not self._known:
            return text
        pieces: list[str] = []
        shown = at = 0
        last = len(text) - _SHORTEST_SECRET
        while at <= last:
            candidates = self._by_start.get(text[at : at + _SHORTEST_SECRET], ())
            found = next((secret for secret in candidates if text.startswith(secret, at)), None)
            if found is None:
                at += 1
                continue
            pieces += (text[shown:at], _MASK)
            shown = at = at + len(found)
        return "".join((*pieces, text[shown:])) if pieces else text


_secrets = _Secrets()


def remember_secret(text: str) -> None:
    """From now on mask this text wherever it occurs in a log. Texts under 6 characters would mask half the log."""
    for form in {text, text.strip(), quote(text, safe=""), json.dumps(text)[1:-1]}:
        if len(form) >= _SHORTEST_SECRET:
            _secrets.add(form)


def mask_text(text: str) -> str:
    """The text without tokens, passwords in URLs, and secrets that were remembered."""
    text = _secrets.mask(text)
    text = _JWT.sub(_MASK, text)
    text = _USER_IN_URL.sub(_mask_user, text)
    return _HEADER.sub(lambda found: f"{found['name']}{found['kind'] or ''}{_MASK}", text)


def _mask_user(found: re.Match[str]) -> str:
    # A user without a password is a token, as in https://token@host.
    return f"{found['user']}:{_MASK}@" if found["password"] else f"{_MASK}@"


def mask_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A structlog processor: every value becomes a plain one, without secrets. Runs after tracebacks became text."""
    return {key: _masked(value, key, 0) for key, value in event.items()}


def _masked(value: object, key: str, depth: int) -> object:
    secret = _SECRET_KEY.search(key) and key not in _NOT_SECRET_KEYS
    if secret and not (value is None or isinstance(value, bool)):
        return _MASK
    match value:
        case None | int() | float():
            return value
        case Mapping() if depth < _DEEPEST:
            return {mask_text(str(name)): _masked(inner, str(name), depth + 1) for name, inner in value.items()}
        case list() | tuple() | set() | frozenset() if depth < _DEEPEST:
            return [_masked(inner, "", depth + 1) for inner in value]
        case bytes():
            return mask_text(value.decode(errors="backslashreplace"))
        case _:
            return mask_text(str(value))


def configure(log_format: str = "auto", level: str = "INFO", *, stream: TextIO | None = None) -> None:
    """Set up logging for the process; may be called again. `auto`: for people on a terminal, JSON lines otherwise.

    Logs go to standard error: standard output is for what a command answers.
    """
    stream = stream or sys.stderr
    as_json = log_format == "json" or (log_format == "auto" and not stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
        )
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                mask_secrets,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # arq says twice per job what our own events say once.
    logging.getLogger("arq").setLevel(logging.DEBUG if level == "DEBUG" else logging.WARNING)
