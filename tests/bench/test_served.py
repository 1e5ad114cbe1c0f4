"""What one access to a register costs through the socket of a served machine."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from nodeagent import data
from nodeagent.capture.archive import open_capture
from nodeagent.sim.remote import connect
from nodeagent.sim.serve import served

ACCESSES = 5_000
LIMIT_US = 500.0  # goal 100; the machine may do other things, too
GPU = "0000:23:00.0"


def test_an_access_to_a_served_register(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Both ends in one process; of two, each access wakes the other one, too."""
    with (
        open_capture(data.path("hgx.tar.gz")) as base,
        served(str(tmp_path), base) as path,
        closing(connect(path)) as machine,
        machine.bar0(GPU) as regs,
    ):
        began = time.perf_counter()
        for _ in range(ACCESSES):
            regs.read(0)
        each_us = (time.perf_counter() - began) / ACCESSES * 1e6

    figure(f"an access to a served register: {each_us:.0f} µs (limit {LIMIT_US:g})")
    assert each_us < LIMIT_US
