"""To whom the kubelet of this host gave GPUs: asked of the kubelet itself, without the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodeagent.agent.witness import Witness
from nodeagent.host import podresources
from nodeagent.model.seen import Unreadable
from nodeagent.plan.gpu import BlockedError

if TYPE_CHECKING:
    from nodeagent.cli.options import Chosen
    from nodeagent.model.cluster import Guest
    from nodeagent.model.facts import Facts

_NAMED = 8


def witness(chosen: Chosen) -> Witness | None:
    """None of a simulated machine, which has no kubelet, unless one was named."""
    named = chosen.config.pod_resources
    if chosen.sim is not None and not named:
        return None
    folder, path = chosen.root or "/", named or podresources.SOCKET
    return Witness(path, lambda: podresources.ask(folder, path))


def has_kubelet(chosen: Chosen, facts: Facts) -> bool | Unreadable:
    if chosen.config.pod_resources:
        return True
    kubelet = facts.runtime.kubelet
    return kubelet if isinstance(kubelet, Unreadable) else kubelet is not None


def demand_none(chosen: Chosen, facts: Facts) -> None:
    """A pod may have been given a GPU that its VM has not opened yet; and which, is not told."""
    if facts.source.simulated and not chosen.config.pod_resources:
        return  # a capture's kubelet, or a model's, answers nobody
    asked = witness(chosen)
    if asked is None:
        return
    found = asked.guests(installed=has_kubelet(chosen, facts))
    if isinstance(found, Unreadable):
        raise BlockedError(
            f"which pods have a GPU cannot be told: {found}",
            hint="look at the kubelet; if this node is none of a cluster any more, remove it",
        )
    if found:
        raise BlockedError(_says(found), hint="evict them first: `kubectl drain` obeys budgets")


def _says(guests: tuple[Guest, ...]) -> str:
    named = ", ".join(map(str, guests[:_NAMED]))
    more = f" and {len(guests) - _NAMED} more" if guests[_NAMED:] else ""
    return f"the kubelet gave GPUs of this node to {named}{more}"
