"""The sink that the configuration names, put together for `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodeagent.labels import condition_type, taint
from nodeagent.publish.apiserver import ApiServer

if TYPE_CHECKING:
    from nodeagent.agent.cycle import Settings
    from nodeagent.agent.following import Followed
    from nodeagent.cli.options import Chosen
    from nodeagent.kube.client import Api
    from nodeagent.kube.node import NodeView
    from nodeagent.publish.features_d import FeaturesD
    from nodeagent.publish.node_feature import NodeFeatures
    from nodeagent.publish.sink import Sink


def through(chosen: Chosen, settings: Settings, api: Api, followed: Followed) -> Sink:
    """Whoever writes the labels, the rest goes to the API server."""
    from nodeagent.kube.nodes import NodeClient  # noqa: PLC0415 - `alone` does without

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
    shelf = _file(chosen, settings) if is_file else _object(chosen, settings, api)
    return ThroughNfd(shelf, server, prefix=prefix)


def alone(chosen: Chosen, settings: Settings) -> Sink:
    """The feature file, and no API server."""
    from nodeagent.publish.nfd import ThroughNfd  # noqa: PLC0415

    return ThroughNfd(_file(chosen, settings), None, prefix=settings.prefix)


def _object(chosen: Chosen, settings: Settings, api: Api) -> NodeFeatures:
    from nodeagent.kube.features import FeatureClient  # noqa: PLC0415
    from nodeagent.publish.node_feature import NodeFeatures  # noqa: PLC0415

    client = FeatureClient(
        api,
        namespace=chosen.config.namespace,
        node=settings.node,
        boot_key=f"{settings.prefix}boot-id",
    )
    return NodeFeatures(client, boot_id=settings.boot_id)


def _file(chosen: Chosen, settings: Settings) -> FeaturesD:
    """What an earlier boot left in it is gone when this returns."""
    from nodeagent.publish.features_d import FeaturesD  # noqa: PLC0415

    file = FeaturesD(
        chosen.config.features_d,
        root=chosen.root or "/",
        boot_id=settings.boot_id,
        period_s=chosen.config.period_s,
    )
    file.begin()
    return file
