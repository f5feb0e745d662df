import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from httpx import AsyncClient  # noqa: TID251 - a client that shares nothing with the worker's

import sandbox
from sandbox.authority import authority
from sandbox.proxies import Proxies
from sandbox.server import Sandbox

ROOT = Path(sandbox.__file__).parent.parent


def through(box: Sandbox, url: str) -> AsyncClient:
    trust = box.authority.client_context()
    proxy = httpx.Proxy(url, ssl_context=trust)
    return AsyncClient(base_url=box.url, verify=trust, proxy=proxy, trust_env=False)


async def test_a_proxy_takes_its_password_and_leads_to_the_sandbox(box: Sandbox, tmp_path: Path) -> None:
    headers = {"Host": "sandbox.control"}
    with Proxies(tmp_path, 2, box.authority) as proxies:
        async with through(box, proxies.urls[1]) as client:
            assert (await client.get("/requests", headers=headers)).status_code == 200
        assert proxies.connects == [0, 1]
        assert proxies[1].destinations == [box.url.removeprefix("https://")]
        async with through(box, proxies.urls[1].replace("collector:", "collector:x")) as client:
            with pytest.raises(httpx.ProxyError, match="407"):
                await client.get("/requests", headers=headers)
        assert proxies.connects == [0, 1]
        assert proxies.urls[0] not in repr(proxies[0])

        proxies[0].kill()
        async with through(box, proxies.urls[0]) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("/requests", headers=headers)
        proxies[0].start()
        async with through(box, proxies.urls[0]) as client:
            assert (await client.get("/requests", headers=headers)).status_code == 200
        assert proxies.connects == [1, 1]
        proxies[0].stop()
        async with through(box, proxies.urls[0]) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("/requests", headers=headers)


def test_the_sandbox_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    words = ["--home", str(tmp_path), "--seed", "5", "--rate-scale", "10", "--page-limit", "ozon/products=3"]
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        trust = authority(tmp_path).client_context()
        assert ready["ca_file"] == str(authority(tmp_path).ca_file)
        assert set(ready["hosts"].values()) == {ready["url"]}
        answer = httpx.get(f"{ready['url']}/clock", headers={"Host": "sandbox.control"}, verify=trust, trust_env=False)
        assert "now" in answer.json()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
