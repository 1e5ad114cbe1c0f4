"""What `run` needs to know of the cluster around its node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodeagent.agent.surroundings import Surroundings
from nodeagent.kube import classes, operands

if TYPE_CHECKING:
    from nodeagent.config import Config
    from nodeagent.kube.client import Api


def surroundings(config: Config, api: Api, node: str) -> Surroundings:
    return Surroundings(
        config.prefix,
        classes=lambda: classes.read(api),
        pods=lambda: operands.read(api, config.operator_namespace, node),
        is_authority=config.authority,
    )
