"""`nodeagent demo`: the whole job, on a simulated node."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nodeagent.cli.options import Words
from nodeagent.cli.output import say
from nodeagent.model.words import CcMode, Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nodeagent.agent.switch import DeviceEnd
    from nodeagent.model.facts import Facts
    from nodeagent.model.findings import Judgement
    from nodeagent.sim.machine import SimMachine


@click.command(
    "demo",
    epilog="""\b
Examples:
  nodeagent demo
  nodeagent demo --mode ppcie
""",
)
@click.option(
    "--mode",
    type=Words("on", "ppcie"),
    default="on",
    show_default=True,
    metavar="on|ppcie",
    help="The mode that the node is brought to.",
)
def command(mode: str) -> int:
    """Bring a simulated node with 8 GPUs and 4 NVSwitches from not ready to ready.

    Reads, judges, plans, switches and labels with the same code as on a real node; only the
    machine is a model. Touches nothing of this one.
    """
    from nodeagent.capture.archive import open_capture  # noqa: PLC0415 - see the style guide, §6
    from nodeagent.data import path  # noqa: PLC0415
    from nodeagent.sim.clock import RealClock  # noqa: PLC0415
    from nodeagent.sim.node import node  # noqa: PLC0415

    began = time.monotonic()
    with open_capture(path("hgx.tar.gz")) as base, tempfile.TemporaryDirectory() as folder:
        good = _run(node(base, RealClock()), Path(folder), CcMode(mode))
    say(f"\nThat took {time.monotonic() - began:.1f} s. On a node: nodeagent check")
    return 0 if good else 1


def _run(machine: SimMachine, folder: Path, mode: CcMode) -> bool:
    _title("1. Is this node ready?")
    facts, judgement = _look(machine, folder, mode)
    _report(facts, judgement)
    _title(f"2. What brings its GPUs to mode {mode}?")
    ends = _switch(machine, folder, mode)
    _title("4. Is it ready now?")
    facts, judgement = _look(machine, folder, mode)
    _report(facts, judgement)
    _title("5. What the Kubernetes scheduler would be told")
    _labels(judgement)
    return all(each.end == "done" for each in ends) and judgement.ready.exit_code == 0


def _title(text: str) -> None:
    say(f"\n== {text}\n")


def _look(machine: SimMachine, folder: Path, mode: CcMode) -> tuple[Facts, Judgement]:
    from nodeagent.agent.waking import awake  # noqa: PLC0415
    from nodeagent.cli.looking import look  # noqa: PLC0415

    with awake(machine, folder):
        return look(machine, profile=Profile.SNP_GPU, want=mode)


def _report(facts: Facts, judgement: Judgement) -> None:
    from nodeagent.cli.check import painter  # noqa: PLC0415
    from nodeagent.report.text import report  # noqa: PLC0415

    say(report(judgement, facts.source, paint=painter(), verbose=False, place=""))


def _switch(machine: SimMachine, folder: Path, mode: CcMode) -> Sequence[DeviceEnd]:
    from nodeagent.agent import waking  # noqa: PLC0415
    from nodeagent.agent.switch import switch, workplace  # noqa: PLC0415
    from nodeagent.cli import planning  # noqa: PLC0415
    from nodeagent.cli.options import Chosen  # noqa: PLC0415
    from nodeagent.cli.progress import shown  # noqa: PLC0415
    from nodeagent.config import Config  # noqa: PLC0415
    from nodeagent.plan.wanted import Wish  # noqa: PLC0415
    from nodeagent.report.ends import text  # noqa: PLC0415

    chosen = Chosen(None, None, Config(mode=mode))
    bdfs = frozenset(machine.places)
    with workplace(machine, folder, bdfs, command="demo") as at:
        waking.rouse(machine, at.debts, at.mine)
        plan = planning.make(chosen, machine, {}, asks=Wish(mode), debts=at.debts)
        say(planning.told(plan, "table", verbose=False))
        _title("3. Doing it")
        with shown(sorted(bdfs)) as told:
            ends = switch(at, plan.wanted.modes, plan.now, told=told)
        say(text(ends))
    return ends


def _labels(judgement: Judgement) -> None:
    from nodeagent import labels  # noqa: PLC0415

    wanted = labels.desired(
        judgement, simulated=False, publish_simulated=False, boot_id="", prefix=labels.PREFIX
    )
    width = max(map(len, wanted.labels))
    say("\n".join(f"{key:<{width}}  {value}" for key, value in sorted(wanted.labels.items())))
