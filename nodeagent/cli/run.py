"""`nodeagent run`: the agent."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import click

from nodeagent.cli.options import Seconds, Words, host_options
from nodeagent.cli.telling import RUN_DIR, places
from nodeagent.config import checked
from nodeagent.errors import ClusterError, HostError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nodeagent.agent.asking import Answers
    from nodeagent.agent.bell import Bell
    from nodeagent.agent.cycle import Cycle, Done, Looker, Settings, Told
    from nodeagent.agent.duty import Cluster, Duty
    from nodeagent.agent.journal import Journal
    from nodeagent.agent.memory import Memory
    from nodeagent.cli.counting import Counts
    from nodeagent.cli.options import Chosen
    from nodeagent.cli.switcher import Devices
    from nodeagent.kube.client import Api
    from nodeagent.kube.events import Events, Said
    from nodeagent.model.facts import Facts
    from nodeagent.model.findings import Judgement
    from nodeagent.model.pci import Sighting
    from nodeagent.model.runtime import NodeSays
    from nodeagent.model.words import CcMode
    from nodeagent.report.drift import Watched
    from nodeagent.seams import Machine

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@click.command(
    "run",
    epilog="""\b
Examples:
  nodeagent run --kubeconfig /etc/kubernetes/kubelet.conf
  nodeagent run --capture tests/hosts/genoa-ready --publish-simulated --once
""",
)
@host_options
@click.option(
    "--node-name",
    envvar="NODE_NAME",
    default=socket.gethostname,
    show_default="this host's name",
    show_envvar=True,
    help="The Node to write.",
)
@click.option(
    "--kubeconfig",
    envvar="KUBECONFIG",
    show_envvar=True,
    help="How to reach the cluster; without it, as the pod that this is.",
)
@click.option(
    "--period",
    type=Seconds(),
    metavar="SECONDS",
    help="From one look to the next, give or take a fifth; 60 unless configured otherwise.",
)
@click.option(
    "--health",
    metavar="HOST:PORT",
    help="Answer /healthz and /readyz there; empty means nowhere.",
)
@click.option(
    "--sink",
    envvar="NODEAGENT_SINK",
    show_envvar=True,
    type=Words("api", "features.d", "nodefeature"),
    metavar="WORD",
    help="Who writes our labels: api (we do), or NFD, by features.d or nodefeature.",
)
@click.option(
    "--repair",
    is_flag=True,
    help="Give back operands that a program left paused which is no longer here.",
)
@click.option(
    "--log-format",
    type=Words("plain", "json"),
    metavar="plain|json",
    default="plain",
    show_default=True,
    help="Lines for people, or one JSON object a line.",
)
@click.option(
    "--publish-simulated",
    is_flag=True,
    help="Let a simulated or captured machine make this Node ready. For trials only.",
)
@click.option(
    "--run-dir",
    default=RUN_DIR,
    show_default=True,
    metavar="DIR",
    help="Where proven modes are kept until the next boot, if the folder is there.",
)
@click.option(
    "--once", is_flag=True, help="One cycle, and the code of check, or 3 if nothing was published."
)
def command(  # noqa: PLR0913 - one for each option
    chosen: Chosen,
    *,
    node_name: str,
    kubeconfig: str | None,
    period: float | None,
    health: str | None,
    sink: str | None,
    repair: bool,
    log_format: str,
    publish_simulated: bool,
    run_dir: str,
    once: bool,
) -> int:
    """Watch this host and keep its Kubernetes Node's labels true.

    Looks, judges, and writes only what changed. Goes on looking while the API server is away.
    Where the configuration says `authority: true`, it also brings the GPUs to the mode that the
    Node's label nvidia.com/cc.mode asks for; out of the box it switches nothing.
    SIGTERM ends it and leaves the labels as they are; SIGHUP asks for a look at once.
    """
    gc.enable()  # unlike the other commands this one stays
    from nodeagent.agent import logs  # noqa: PLC0415 - see the style guide, §6
    from nodeagent.agent.bell import Bell  # noqa: PLC0415
    from nodeagent.agent.cycle import Settings  # noqa: PLC0415
    from nodeagent.agent.uevents import listening  # noqa: PLC0415

    if not node_name.strip() or node_name != node_name.strip():
        raise UsageError(f"{node_name!r} is no node's name", hint="set --node-name or NODE_NAME")
    logs.start(logs.LogFormat(log_format))
    period_s = period or chosen.config.period_s
    config = replace(chosen.config, period_s=period_s, sink=sink or chosen.config.sink)
    config = replace(config, repair=repair or config.repair)
    chosen = replace(chosen, config=checked(config))
    settings = Settings(
        node=node_name,
        profile=chosen.profile,
        mode=chosen.mode,
        boot_id=live_boot_id(),
        publish_simulated=publish_simulated,
        prefix=chosen.config.prefix,
    )
    live = chosen.capture is None and chosen.sim is None
    where = chosen.config.health if health is None else health
    counts = _counts(config.textfile) if config.textfile or (where and not once) else None
    with (
        listening(live=live and not once) as ear,
        Bell(ear) as bell,
        agent(
            chosen, settings, bell, kubeconfig=kubeconfig, run_dir=run_dir, counts=counts
        ) as cycle,
    ):
        measured = counts.measured(cycle) if counts else cycle
        if once:
            return _once(measured)
        _loop(measured, bell, period_s, where, counts)
    return 0


class Kept(NamedTuple):
    """What outlives the agent: sightings, and what it tells on the node itself; and its counts."""

    memory: Memory
    journal: Journal
    counts: Counts | None

    @property
    def told(self) -> Told:
        from nodeagent.agent.cycle import uncounted  # noqa: PLC0415

        return self.counts.told if self.counts else uncounted


def _journal(chosen: Chosen, settings: Settings, run_dir: str) -> Journal:
    from nodeagent.agent.journal import Journal  # noqa: PLC0415
    from nodeagent.diary import here  # noqa: PLC0415
    from nodeagent.model.status import Status  # noqa: PLC0415

    folder, kept = places(chosen, run_dir)
    process = here()._replace(boot_id=settings.boot_id, period_s=chosen.config.period_s)
    return Journal(folder, kept, Status(settings.node, settings.profile.value, process))


def _counts(textfile: str) -> Counts:
    from nodeagent.cli.counting import Counts  # noqa: PLC0415 - 1.5 MiB, where it is asked for

    return Counts(textfile)


@contextlib.contextmanager
def agent(  # noqa: PLR0913 - one for each option
    chosen: Chosen,
    settings: Settings,
    bell: Bell,
    *,
    kubeconfig: str | None,
    run_dir: str,
    counts: Counts | None = None,
) -> Iterator[Cycle]:
    """Its cycle, with what it keeps and whom it writes to.

    A host that cannot be opened is said first.
    """
    from nodeagent.agent.memory import Memory  # noqa: PLC0415

    with chosen.open() as machine:
        simulated = machine.source.simulated
    # What a simulated machine showed must never be taken for a sighting of this one: it has a
    # folder of its own, and a capture needs none.
    folder = str(chosen.state) if chosen.sim else None if simulated else run_dir
    memory = Memory(folder, settings.boot_id)
    kept = Kept(memory, _journal(chosen, settings, run_dir), counts)
    if chosen.config.announce:
        with _in_a_cluster(chosen, settings, bell, kept, kubeconfig) as cycle:
            yield cycle
    else:
        yield _alone(chosen, settings, kept)


def _api(kubeconfig: str | None, counts: Counts | None) -> Api:
    from nodeagent.kube.client import Api  # noqa: PLC0415 - takes 0.2 s and 35 MiB

    if counts is None:
        return Api(kubeconfig or None)
    return Api(kubeconfig or None, counts.metrics.answered)


def _alone(chosen: Chosen, settings: Settings, kept: Kept) -> Cycle:
    """Without an API server, and without the 35 MiB that talking to one takes."""
    from nodeagent.agent.cycle import Cycle  # noqa: PLC0415
    from nodeagent.cli import sinks  # noqa: PLC0415

    return Cycle(
        settings,
        look=_looker(chosen, settings, None),
        server=sinks.alone(chosen, settings),
        memory=kept.memory,
        journal=kept.journal,
        told=kept.told,
    )


@contextlib.contextmanager
def _in_a_cluster(
    chosen: Chosen, settings: Settings, bell: Bell, kept: Kept, kubeconfig: str | None
) -> Iterator[Cycle]:
    from nodeagent.agent.cycle import Cycle  # noqa: PLC0415
    from nodeagent.agent.duty import Cluster  # noqa: PLC0415
    from nodeagent.agent.following import Followed, minded  # noqa: PLC0415
    from nodeagent.cli import sinks  # noqa: PLC0415
    from nodeagent.cli.aside import aside  # noqa: PLC0415
    from nodeagent.kube.events import Events  # noqa: PLC0415
    from nodeagent.kube.nodes import NodeClient  # noqa: PLC0415
    from nodeagent.labels import condition_type  # noqa: PLC0415

    kind = condition_type(settings.prefix)
    with contextlib.ExitStack() as stack:
        api, other = (_closing(stack, _api(kubeconfig, kept.counts)) for _ in range(2))
        client = NodeClient(api, condition_type=kind)
        followed = Followed(
            client,
            NodeClient(other, condition_type=kind),  # a thread of its own, a connection of its own
            woken=bell.ring,
            minds=lambda node: minded(node, settings.prefix),
        )
        followed.start()
        stack.callback(followed.end)
        config = chosen.config
        tells = config.authority or config.repair or config.gate
        say = _teller(Events(api, settings.node)) if tells else _unheard
        cluster = Cluster(
            settings.node, followed, client, say, settings.boot_id, journal=kept.journal
        )
        if kept.counts:
            cluster = cluster._replace(ended=kept.counts.metrics.switched)
        devices, duty = _authority(chosen, stack, bell, api, cluster)
        yield Cycle(
            settings,
            look=_looker(chosen, settings, devices),
            server=sinks.through(chosen, settings, api, followed),
            memory=kept.memory,
            duty=duty,
            aside=aside(chosen.config, api, cluster),
            say=say,
            journal=kept.journal,
            told=kept.told,
        )


def _closing(stack: contextlib.ExitStack, api: Api) -> Api:
    return stack.enter_context(contextlib.closing(api))


def _teller(events: Events) -> Callable[[Said], object]:
    """Without the right to write Events there are none, which is said once."""
    from nodeagent.publish.rights import Rights  # noqa: PLC0415

    rights = Rights()
    return lambda said: rights.tried("telling Events", None, lambda: events.say(said))


def _unheard(_said: Said) -> None:
    """Who only looks has no right to write Events, and needs none."""


def _authority(
    chosen: Chosen, stack: contextlib.ExitStack, bell: Bell, api: Api, cluster: Cluster
) -> tuple[Devices | None, Duty | None]:
    """Until the end of `stack`, where the configuration makes us the one who switches."""
    if not chosen.config.authority:
        return None, None
    if chosen.capture is not None:
        raise UsageError("a capture cannot be switched", hint="leave out authority")
    from nodeagent.cli.switcher import Devices, on_duty  # noqa: PLC0415 - most switch nothing

    devices = Devices(chosen, lambda: bell.stopped)
    return devices, stack.enter_context(on_duty(chosen, devices, api, cluster))


def _loop(
    cycle: Callable[[], Done], bell: Bell, period_s: float, health: str, counts: Counts | None
) -> None:
    from nodeagent.agent import loop  # noqa: PLC0415
    from nodeagent.agent.health import Pulse, serving  # noqa: PLC0415
    from nodeagent.agent.notify import Notifier  # noqa: PLC0415

    pulse = Pulse(period_s)
    notifier = Notifier(os.environ, os.getpid())
    with serving(health, pulse, counts.text if counts else None):
        loop.run(cycle, period_s=period_s, bell=bell, pulse=pulse, notifier=notifier)


def _once(cycle: Callable[[], Done]) -> int:
    """3 where the look or the writing failed: why was logged."""
    done = cycle()
    if done.ready is None or not done.published:
        return ClusterError.exit_code
    return done.ready.exit_code


def _looker(chosen: Chosen, settings: Settings, devices: Devices | None) -> Looker:
    """Opens the host anew for each look: what is mounted or captured there may be replaced."""
    from nodeagent.agent.cycle import Look  # noqa: PLC0415
    from nodeagent.cli import looking  # noqa: PLC0415
    from nodeagent.model.pci import Known  # noqa: PLC0415

    policy = chosen.policy  # floors that are off are said at once, not once a cycle

    def look(
        want: CcMode | None, remembered: Mapping[str, Sighting], says: NodeSays | None
    ) -> Look:
        with _for_a_look(chosen, devices) as (machine, answers):
            # The Node is this host's, unless it is given to the other one for a trial.
            is_other = machine.source.simulated and not settings.publish_simulated
            node = None if is_other else says
            facts, judgement = looking.look(
                machine,
                profile=chosen.profile,
                want=want,
                policy=policy,
                known=Known(remembered=remembered, asked=answers),
                node=node,
            )
            standing = devices.standing(machine, facts, judgement, want) if devices else None
        return Look(
            judgement,
            facts.source.simulated,
            settings.boot_id,
            _held(facts),
            _watched(facts, judgement),
            standing,
            _gpus(facts),
            _asids_used(facts),
        )

    return look


def _gpus(facts: Facts) -> tuple[str, ...]:
    from nodeagent.model.pci import Devices  # noqa: PLC0415

    devices = facts.devices
    return tuple(each.bdf for each in devices.gpus) if isinstance(devices, Devices) else ()


def _asids_used(facts: Facts) -> int | None:
    from nodeagent.model.seen import Unreadable  # noqa: PLC0415

    used = facts.kernel.misc_current
    return None if used is None or isinstance(used, Unreadable) else used.get("sev_es")


@contextlib.contextmanager
def _for_a_look(chosen: Chosen, devices: Devices | None) -> Iterator[tuple[Machine, Answers]]:
    if devices is None:
        with chosen.awake() as machine:
            yield machine, {}
        return
    with devices.awake() as found:
        yield found


def _watched(facts: Facts, judgement: Judgement) -> Watched:
    from nodeagent.cli.switching import standings  # noqa: PLC0415
    from nodeagent.model.seen import Unreadable  # noqa: PLC0415
    from nodeagent.report.drift import watched  # noqa: PLC0415

    unread = isinstance(facts.devices, Unreadable)
    return watched(facts, judgement, {} if unread else standings(facts))


def _held(facts: Facts) -> frozenset[str]:
    from nodeagent.model.pci import Devices, Held  # noqa: PLC0415

    if not isinstance(facts.devices, Devices):
        return frozenset()
    devices = (*facts.devices.gpus, *facts.devices.switches)
    return frozenset(each.bdf for each in devices if isinstance(each.status, Held))


def live_boot_id() -> str:
    """The running kernel's, whichever host is looked at: labels are true for this boot only."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read(64).strip()
    except OSError as error:
        raise HostError(f"cannot read {_BOOT_ID}") from error
