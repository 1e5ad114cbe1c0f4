"""CPU time and memory of programs, and how a figure is printed."""

import os
import resource
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path


def _environment() -> dict[str, str]:
    """With byte code, as every installed program has it: a shell may have turned it off."""
    return {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def cpu_s(command: Sequence[str]) -> float:
    """User and system time of one run of a program, its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=False, env=_environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def alternately(one: Sequence[str], other: Sequence[str], rounds: int) -> tuple[float, float]:
    """Median CPU seconds of both, run in turns so that a busy moment hits both alike."""
    for command in (one, other):  # write the byte code and warm the page cache
        cpu_s(command)
    pairs = [(cpu_s(one), cpu_s(other)) for _ in range(rounds)]
    return (
        statistics.median(pair[0] for pair in pairs),
        statistics.median(pair[1] for pair in pairs),
    )


def resident_mib(pid: int) -> float:
    """VmRSS of a running process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} shows no VmRSS")


def bare_import_mib(python: str, libraries: str) -> float:
    """VmRSS of an interpreter that only imported these libraries."""
    program = (
        f"import {libraries}\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if 'VmRSS' in line))"
    )
    done = subprocess.run(
        [python, "-c", program], capture_output=True, text=True, check=True, env=_environment()
    )
    return int(done.stdout) / 1024
