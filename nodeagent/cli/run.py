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
    from collections.abc import Iterator, Mapping

    from nodeagent.agent.asking import Answers
    from nodeagent.agent.bell import Bell
    from nodeagent.agent.cycle import Cycle, Looker, Settings
    from nodeagent.agent.duty import Cluster, Duty
    from nodeagent.agent.following import Followed
    from nodeagent.agent.journal import Journal
    from nodeagent.agent.memory import Memory
    from nodeagent.cli.options import Chosen
    from nodeagent.cli.switcher import Devices
    from nodeagent.kube.client import Api
    from nodeagent.kube.events import Said
    from nodeagent.kube.node import NodeView
    from nodeagent.model.facts import Facts
    from nodeagent.model.findings import Judgement
    from nodeagent.model.pci import Sighting
    from nodeagent.model.runtime import NodeSays
    from nodeagent.model.words import CcMode
    from nodeagent.publish.features_d import FeaturesD
    from nodeagent.publish.node_feature import NodeFeatures
    from nodeagent.publish.sink import Sink
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
    with (
        listening(live=live and not once) as ear,
        Bell(ear) as bell,
        agent(chosen, settings, bell, kubeconfig=kubeconfig, run_dir=run_dir) as cycle,
    ):
        if once:
            return _once(cycle)
        where = chosen.config.health if health is None else health
        _loop(cycle, bell, period_s, where)
    return 0


class Kept(NamedTuple):
    """What outlives the agent: sightings, and what it tells on the node itself."""

    memory: Memory
    journal: Journal


def _journal(chosen: Chosen, settings: Settings, run_dir: str) -> Journal:
    from nodeagent.agent.journal import Journal  # noqa: PLC0415
    from nodeagent.diary import here  # noqa: PLC0415
    from nodeagent.model.status import Status  # noqa: PLC0415

    folder, kept = places(chosen, run_dir)
    process = here()._replace(boot_id=settings.boot_id, period_s=chosen.config.period_s)
    return Journal(folder, kept, Status(settings.node, settings.profile.value, process))


@contextlib.contextmanager
def agent(
    chosen: Chosen, settings: Settings, bell: Bell, *, kubeconfig: str | None, run_dir: str
) -> Iterator[Cycle]:
    """Its cycle, with what it keeps and whom it writes to.

    A host that cannot be opened is said first.
    """
    from nodeagent.agent.memory import Memory  # noqa: PLC0415

    with chosen.open() as machine:
        simulated = machine.source.simulated
    # What a simulated machine showed must never be taken for a sighting of this one.
    memory = Memory(None if simulated else run_dir, settings.boot_id)
    kept = Kept(memory, _journal(chosen, settings, run_dir))
    if chosen.config.announce:
        with _in_a_cluster(chosen, settings, bell, kept, kubeconfig) as cycle:
            yield cycle
    else:
        yield _alone(chosen, settings, kept)


def _alone(chosen: Chosen, settings: Settings, kept: Kept) -> Cycle:
    """Without an API server, and without the 35 MiB that talking to one takes."""
    from nodeagent.agent.cycle import Cycle  # noqa: PLC0415
    from nodeagent.publish.nfd import ThroughNfd  # noqa: PLC0415

    server = ThroughNfd(_feature_file(chosen, settings), None, prefix=settings.prefix)
    look = _looker(chosen, settings, None)
    return Cycle(settings, look=look, server=server, memory=kept.memory, journal=kept.journal)


@contextlib.contextmanager
def _in_a_cluster(
    chosen: Chosen, settings: Settings, bell: Bell, kept: Kept, kubeconfig: str | None
) -> Iterator[Cycle]:
    from nodeagent.agent.cycle import Cycle  # noqa: PLC0415
    from nodeagent.agent.duty import Cluster  # noqa: PLC0415
    from nodeagent.agent.following import Followed, minded  # noqa: PLC0415
    from nodeagent.cli.aside import aside  # noqa: PLC0415
    from nodeagent.kube.client import Api  # noqa: PLC0415 - takes 0.2 s and 35 MiB
    from nodeagent.kube.events import Events  # noqa: PLC0415
    from nodeagent.kube.nodes import NodeClient  # noqa: PLC0415
    from nodeagent.labels import condition_type  # noqa: PLC0415

    kind = condition_type(settings.prefix)
    with contextlib.ExitStack() as stack:
        api, other = (_closing(stack, Api(kubeconfig or None)) for _ in range(2))
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
        say = Events(api, settings.node).say if config.authority or config.repair else _unheard
        cluster = Cluster(
            settings.node, followed, client, say, settings.boot_id, journal=kept.journal
        )
        devices, duty = _authority(chosen, stack, bell, api, cluster)
        yield Cycle(
            settings,
            look=_looker(chosen, settings, devices),
            server=_sink(chosen, settings, api, followed),
            memory=kept.memory,
            duty=duty,
            aside=aside(chosen.config, api, cluster),
            say=say,
            journal=kept.journal,
        )


def _sink(chosen: Chosen, settings: Settings, api: Api, followed: Followed) -> Sink:
    from nodeagent.kube.nodes import NodeClient  # noqa: PLC0415
    from nodeagent.labels import condition_type, taint  # noqa: PLC0415
    from nodeagent.publish.apiserver import ApiServer  # noqa: PLC0415

    config, prefix = chosen.config, settings.prefix
    client, ours = NodeClient(api, condition_type=condition_type(prefix)), taint(prefix)

    def set_taint(node: NodeView, is_on: bool) -> NodeView:
        return followed.wrote(client.set_taint(node, ours, is_on=is_on))

    is_direct = config.sink == "api"
    server = ApiServer(
        followed, prefix=prefix, by_nfd=not is_direct, taint=set_taint if config.taint else None
    )
    if is_direct:
        return server
    from nodeagent.publish.nfd import ThroughNfd  # noqa: PLC0415 - most have no use for it

    is_file = config.sink == "features.d"
    shelf = _feature_file(chosen, settings) if is_file else _feature_object(chosen, settings, api)
    return ThroughNfd(shelf, server, prefix=prefix)


def _feature_object(chosen: Chosen, settings: Settings, api: Api) -> NodeFeatures:
    from nodeagent.kube.features import FeatureClient  # noqa: PLC0415
    from nodeagent.publish.node_feature import NodeFeatures  # noqa: PLC0415

    client = FeatureClient(
        api,
        namespace=chosen.config.namespace,
        node=settings.node,
        boot_key=f"{settings.prefix}boot-id",
    )
    return NodeFeatures(client, boot_id=settings.boot_id)


def _feature_file(chosen: Chosen, settings: Settings) -> FeaturesD:
    from nodeagent.publish.features_d import FeaturesD  # noqa: PLC0415

    file = FeaturesD(
        chosen.config.features_d,
        root=chosen.root or "/",
        boot_id=settings.boot_id,
        period_s=chosen.config.period_s,
    )
    file.begin()
    return file


def _closing(stack: contextlib.ExitStack, api: Api) -> Api:
    return stack.enter_context(contextlib.closing(api))


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


def _loop(cycle: Cycle, bell: Bell, period_s: float, health: str) -> None:
    from nodeagent.agent import loop  # noqa: PLC0415
    from nodeagent.agent.health import Pulse, serving  # noqa: PLC0415
    from nodeagent.agent.notify import Notifier  # noqa: PLC0415

    pulse = Pulse(period_s)
    notifier = Notifier(os.environ, os.getpid())
    with serving(health, pulse):
        loop.run(cycle, period_s=period_s, bell=bell, pulse=pulse, notifier=notifier)


def _once(cycle: Cycle) -> int:
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
        )

    return look


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
