"""Which command mends a stream that is out of use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mended_by(row: Mapping[str, Any]) -> str:
    """Say it for a row with `account_id`, `stream`, `slice`, `lane` and `state`; empty if nothing needs mending."""
    account, stream = row["account_id"], row["stream"]
    match row["state"]:
        case "paused":
            return f"collector resume --account {account} --stream {stream}"
        case "unavailable":
            return f"collector account resume {account}"
        case "quarantined":
            of_slice = f" --slice {row['slice']}" if row["slice"] else ""
            of_past = " --from DAY --to DAY" if row["lane"] == "backfill" else ""
            return f"collector enqueue --account {account} --stream {stream}{of_slice}{of_past}"
        case _:
            return ""
