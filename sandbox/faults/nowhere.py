"""Addresses at which nobody is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

Nobody = Literal["refuses", "is silent", "has no such name"]

_FILLING = 8  # connections that fill the shortest queue a kernel will have


@contextmanager
def nowhere(how: Nobody) -> Iterator[str]:
    """Yield `host:port` of nobody."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        if how == "is silent":
            server.listen(0)  # nothing accepts, so when the queue is full the kernel answers nobody any more
            for _ in range(_FILLING):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", port))
        yield f"nowhere.invalid:{port}" if how == "has no such name" else f"127.0.0.1:{port}"
