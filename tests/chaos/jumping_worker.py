"""`collector worker` on a machine whose clock jumps: a month ahead at SIGUSR1, back again at SIGUSR2."""

import signal
from datetime import UTC, datetime, timedelta

import time_machine

from worker.script import main

clock = time_machine.travel(datetime.now(UTC), tick=True).start()
ahead = timedelta(0)


def jump(to: timedelta) -> None:
    """Be so far ahead from now on."""
    global ahead  # noqa: PLW0603 - a handler of signals has nothing else to keep it in
    clock.shift(to - ahead)
    ahead = to


signal.signal(signal.SIGUSR1, lambda *_: jump(timedelta(days=31)))
signal.signal(signal.SIGUSR2, lambda *_: jump(timedelta(0)))
raise SystemExit(main())
