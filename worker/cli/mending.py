"""Which command mends what does not go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_COMMANDS = {
    "organization paused": "collector resume --org {organization_id}",
    "account paused": "collector account resume {account_id}",
    "marketplace paused": "collector resume --marketplace {marketplace}",
    "stream paused": "collector resume --marketplace {marketplace} --stream {stream}",
    "paused": "collector resume --account {account_id} --stream {stream}",
    "failing": "collector runs --account {account_id} --stream {stream}",
    "overdue": "collector doctor",
}

# What to know before the command of a condition is run.
_FIRST = {
    "account paused": "mend what it says, then: ",
    "quarantined": "see the answers: collector quarantine list --account {account_id}, or try again: ",
    "unavailable": "asked again daily; once it is there: ",
    "failing": "tried again by itself; its attempts: ",
    "overdue": "no worker takes it: ",
}


def mended_by(condition: str, row: Mapping[str, Any]) -> str:
    """Return the command for a slice, or for what is paused for everybody; "" if nothing needs mending.

    Of the row are taken `organization_id`, `account_id`, `marketplace`, `stream`, `slice` and `lane`, as far as the
    condition is about them.
    """
    if condition in {"quarantined", "unavailable"}:
        of_slice = f" --slice {row['slice']}" if row["slice"] else ""
        of_past = " --from DAY --to DAY" if row["lane"] == "backfill" else ""
        return f"collector enqueue --account {row['account_id']} --stream {row['stream']}{of_slice}{of_past}"
    return _COMMANDS.get(condition, "").format(**row)


def advice(condition: str, row: Mapping[str, Any]) -> str:
    """Return the command with what to know before it; "" if nothing needs mending."""
    return _FIRST.get(condition, "").format(**row) + mended_by(condition, row)
