"""What the allocator is told, in a process of its own: it holds for all of it."""

import asyncio
import resource
import subprocess
import sys
from pathlib import Path

from worker.memory import memory_given_back

MB = 1 << 20
ROOT = Path(__file__).parents[2]


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


async def look() -> None:
    async with memory_given_back(every=0.01), asyncio.timeout(20):
        await asyncio.sleep(0)  # it is told
        pages, earlier = [b"x" * MB], faults()
        for _ in range(100):
            pages.clear()
            pages.append(b"x" * MB)
        assert faults() - earlier < 1000, "each page was mapped anew"
        pages.clear()

        before, blocks = resident(), [b"x" * size for size in 100 * (MB // 2, 1000)]
        assert resident() - before > 45 * MB
        blocks = blocks[1::2]  # each of the others leaves a hole
        while resident() - before > 5 * MB:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def test_holes_are_given_back_and_pages_are_not_mapped_anew() -> None:
    done = subprocess.run(
        [sys.executable, "-m", __name__], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    asyncio.run(look())
