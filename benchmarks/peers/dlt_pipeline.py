"""dlt: the REST source into PostgreSQL. Run in a virtual environment of its own; told on standard input what to do."""

from __future__ import annotations

import json
import sys

import dlt
from dlt.sources.rest_api import rest_api_source
from dlt.sources.rest_api.typing import EndpointResource

told = json.load(sys.stdin)


def whole(page: object) -> dict[str, object]:
    return {"page": page}


def resource(seller: int) -> EndpointResource:
    endpoint = {
        "path": f"{seller}/goods",
        "data_selector": "items",
        "paginator": {"type": "cursor", "cursor_path": "next", "cursor_param": "cursor"},
    }
    if not told["raw"]:
        return {"name": f"goods_{seller}", "table_name": "goods", "write_disposition": "append", "endpoint": endpoint}
    return {
        "name": f"goods_{seller}",
        "table_name": "goods",
        "write_disposition": "append",
        "columns": {"page": {"data_type": "json"}},
        "max_table_nesting": 0,
        "processing_steps": [{"map": whole}],
        "endpoint": endpoint | {"data_selector": "$"},
    }


if __name__ == "__main__":
    pipeline = dlt.pipeline(
        "bench",
        destination=dlt.destinations.postgres(told["database"]),
        dataset_name=told["schema"],
        pipelines_dir=told["home"],
    )
    source = rest_api_source(
        {"client": {"base_url": told["url"]}, "resources": [resource(seller) for seller in told["sellers"]]},
        parallelized=True,
    )
    pipeline.run(source, loader_file_format=told["file_format"])
