"""Arithmetic of time ranges as PostgreSQL's multiranges do it, for the tests of windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from collectors.stream import Window


def union(windows: Iterable[Window]) -> list[Window]:
    joined: list[Window] = []
    for window in sorted(windows, key=lambda window: window.start):
        if joined and window.start <= joined[-1].end:
            joined[-1] = Window(joined[-1].start, max(joined[-1].end, window.end))
        else:
            joined.append(window)
    return joined


def minus(windows: Iterable[Window], taken: Iterable[Window]) -> list[Window]:
    left = union(windows)
    for hole in taken:
        left = [part for window in left for part in _without(window, hole)]
    return left


def overlap(one: Window, other: Window) -> bool:
    return one.start < other.end and other.start < one.end


def overlapping(windows: Sequence[Window]) -> list[tuple[Window, Window]]:
    ordered = sorted(windows, key=lambda window: window.start)
    return [(one, other) for one, other in pairwise(ordered) if overlap(one, other)]


def _without(window: Window, hole: Window) -> list[Window]:
    if not overlap(window, hole):
        return [window]
    before = [Window(window.start, hole.start)] if window.start < hole.start else []
    after = [Window(hole.end, window.end)] if hole.end < window.end else []
    return before + after
