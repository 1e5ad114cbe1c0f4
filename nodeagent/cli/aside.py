"""What `run` asks of the cluster around its node, and does there beside switching."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodeagent.agent.aside import Aside
from nodeagent.agent.repairs import Repairs
from nodeagent.agent.surroundings import Surroundings
from nodeagent.kube import classes, operands

if TYPE_CHECKING:
    from nodeagent.agent.duty import Cluster
    from nodeagent.agent.probing import Probing
    from nodeagent.config import Config
    from nodeagent.kube.client import Api


def aside(config: Config, api: Api, cluster: Cluster) -> Aside:
    around = Surroundings(
        config.prefix,
        classes=lambda: classes.read(api),
        pods=lambda: operands.read(api, config.operator_namespace, cluster.name),
        is_authority=config.authority,
    )
    repairs = Repairs(around, cluster, after_s=config.repair_after_s) if config.repair else None
    return Aside(around, repairs, _probing(config, api, cluster))


def _probing(config: Config, api: Api, cluster: Cluster) -> Probing | None:
    if config.gate is None:
        return None
    from nodeagent.agent.probing import Probing, Terms  # noqa: PLC0415 - most have no gate
    from nodeagent.kube import probes  # noqa: PLC0415

    terms = Terms(config.gate, probes.manifest(config.gate.pod), config.prefix)
    return Probing(terms, cluster, probes.ProbePods(api, config.namespace))
