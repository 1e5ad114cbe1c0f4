"""Gives back operands that another program left paused, once it is surely gone."""

import logging
import time
from collections.abc import Callable

from nodeagent.agent.duty import Cluster
from nodeagent.agent.logs import chain
from nodeagent.agent.surroundings import Surroundings
from nodeagent.errors import ClusterError
from nodeagent.kube.events import Said
from nodeagent.kube.failures import ConflictError
from nodeagent.model.cluster import Relabel
from nodeagent.model.pause import Wedge
from nodeagent.plan import wedges as plan

_REST_S = 60.0

log = logging.getLogger(__name__)


class Repairs:
    """A label goes back only as it was seen: who writes it meanwhile wins."""

    def __init__(
        self,
        around: Surroundings,
        cluster: Cluster,
        *,
        after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._around, self._cluster, self._after_s = around, cluster, after_s
        self._clock = clock
        self._rests_until = 0.0
        self._told = ""

    def work(self) -> None:
        """Asks for Node and pods anew before it writes: what is cached may be of before."""
        if self._clock() < self._rests_until or not self._around.is_any_alone(self._after_s):
            return
        try:
            node = self._cluster.source.ask(self._cluster.name)
            found = self._around.afresh(node) if node else ()
            for mend in plan.mends(found, self._is_due):
                if node is not None:
                    node = self._cluster.client.set_labels(
                        node, {mend.key: mend.value}, were={mend.key: mend.was}
                    )
                    self._cluster.source.wrote(node)
                    self._tell(mend, found)
        except ConflictError as error:
            log.debug("not repaired, the Node is another one by now: %s", error)
        except ClusterError as error:
            self._rests_until = self._clock() + _REST_S
            if str(error) != self._told:
                log.warning("cannot give back what others left paused: %s", chain(error))
            self._told = str(error)

    def _is_due(self, wedge: Wedge) -> bool:
        return self._around.alone_s(wedge) >= self._after_s

    def _tell(self, mend: Relabel, found: tuple[Wedge, ...]) -> None:
        who = next(each.who for each in found if each.key == mend.key)
        said = f"{mend}: {who} left it paused and is not here"
        log.warning("repaired: %s", said)
        self._cluster.say(Said("OperandRestored", said, is_warning=True))
