"""Whether a failed attempt is worth repeating in place, and after how long. What is not is handed back to the queue."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_after_delay

from collectors.errors import Blame, Later, OtherProxy, RateLimited
from collectors.refusals import retry_after
from worker.http.limits import IN_PLACE
from worker.http.phases import NotSent

_ATTEMPTS = 3
_NO_ATTEMPT_AFTER = 75.0  # seconds: two that hung for the whole of a read's time-out, and one more
_LONGEST_PAUSE = 2.0  # seconds between two attempts
_LATER = 1.1  # times as long as a limit's wait at the most, so that those who wait do not come back together


class NewKey(Later):
    """The key was refused and has been replaced since: at once again, with the new one."""

    blame = Blame.NOBODY


def repeating(may_help: Callable[[BaseException], bool], sleep: Callable[[float], Awaitable[None]]) -> AsyncRetrying:
    """Return what calls an attempt up to three times, as long as its failure `may_help`."""
    return AsyncRetrying(
        retry=retry_if_exception(may_help),
        wait=_pause,
        stop=stop_after_attempt(_ATTEMPTS) | stop_after_delay(_NO_ATTEMPT_AFTER),
        sleep=sleep,
        reraise=True,
    )


def may_help(error: BaseException, *, repeatable: bool, patience: timedelta = IN_PLACE) -> bool:
    """Whether the same request, at once or after a pause for which there is `patience`, may do better."""
    if not repeatable:
        return isinstance(error, NotSent | NewKey) or (isinstance(error, OtherProxy) and error.answer is None)
    match error:
        case RateLimited():
            return error.wait * _LATER <= patience
        case OtherProxy() | NewKey():
            return True
        case Later():
            told = _told(error)
            return _may_pass(error.status) and (told is None or told <= patience)
    return False


def _may_pass(status: int | None) -> bool:
    """Whether a status goes away by itself within seconds; None: there was no answer."""
    return status is None or status in {200, 204, 408, 425} or status >= 500


def _told(error: Later) -> timedelta | None:
    return None if error.answer is None else retry_after(error.answer)


def _pause(state: RetryCallState) -> float:
    """Return the seconds before the next attempt: what the server told, never less, or full jitter."""
    error = state.outcome.exception() if state.outcome is not None else None
    match error:
        case OtherProxy() | NewKey():
            return 0.0
        case RateLimited():
            return error.wait.total_seconds() * random.uniform(1.0, _LATER)  # noqa: S311 - only spreads the attempts
        case Later() if (told := _told(error)) is not None:
            return told.total_seconds()
    return random.uniform(0.0, min(_LONGEST_PAUSE, 0.5 * 2**state.attempt_number))  # noqa: S311 - as above
