"""What PostgreSQL said when it refused."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.exc import DBAPIError

NOT_ALLOWED = "42501"
NO_SUCH_KEY = "23503"
AGAINST_A_CHECK = "23514"
BAD_ARGUMENT = "22023"
NOT_NOW = "55000"


@contextmanager
def refused(state: str, saying: str | None = None) -> Iterator[None]:
    """Expect the server to refuse with this SQLSTATE and these words."""
    with pytest.raises(DBAPIError, match=saying) as caught:
        yield
    assert getattr(caught.value.orig, "sqlstate", None) == state, caught.value
