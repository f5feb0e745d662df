"""What Wildberries says of the reports that we name."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from collectors.errors import NotReady
from collectors.stream import Answer, Request
from collectors.wildberries.csv_reports import NM_REPORT
from collectors.windows import cell
from tests.unit.collectors.scripted import NOW, WALK, answer_of

OTHERS = "06eae887-9d9f-491f-b16a-bb1766fcb8d2"


@pytest.mark.parametrize("ours", [None, "PROCESSING"])
@pytest.mark.parametrize("others", ["FAILED", "SUCCESS", "WAITING"])
async def test_what_is_said_of_another_report_is_not_taken_for_ours(ours: str | None, others: str) -> None:
    created: list[str] = []

    async def fetch(request: Request) -> Answer:
        if request.method == "POST":
            created.append(request.body["id"])
            return answer_of(b'{"data": "ok"}', request=request)
        assert "/file/" not in request.path, "it fetched another report"
        rows = [{"id": OTHERS, "status": others}]
        if ours is not None:
            rows.append({"id": str(request.query["filter[downloadIds]"]), "status": ours})
        return answer_of(json.dumps({"data": rows}).encode(), request=request)

    window = cell(NM_REPORT.progress, NOW - timedelta(days=40))  # type: ignore[arg-type]  # it has windows
    walk = replace(WALK, window=window)
    with pytest.raises(NotReady):
        async for _ in NM_REPORT.pages(fetch, walk):
            pass
    assert len(created) == (ours is None)
