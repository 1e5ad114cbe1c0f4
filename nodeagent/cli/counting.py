"""What `run` counts, fed from its cycles and given to whoever asks."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from nodeagent.agent.logs import chain
from nodeagent.errors import HostError
from nodeagent.publish import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nodeagent.agent.cycle import Done, Look
    from nodeagent.model.words import CcMode

log = logging.getLogger(__name__)


class Counts:
    """`textfile`: where they are written after each cycle, empty for nowhere."""

    def __init__(self, textfile: str) -> None:
        self.metrics = metrics.Metrics()
        self._textfile = textfile
        self._trouble = ""

    def told(self, look: Look | None, modes: Mapping[str, CcMode], is_ready: bool) -> None:
        if look is None:
            self.metrics.saw(metrics.Seen(is_ready=is_ready))
            return
        self.metrics.saw(metrics.Seen(look.judgement, is_ready, look.gpus, modes, look.asids_used))

    def text(self) -> tuple[bytes, str]:
        return self.metrics.text(), metrics.CONTENT_TYPE

    def measured(self, cycle: Callable[[], Done]) -> Callable[[], Done]:
        """The cycle, with its time taken."""

        def measured() -> Done:
            began = time.monotonic()
            done = cycle()
            self.metrics.cycled(time.monotonic() - began)
            if self._textfile:
                self._write()
            return done

        return measured

    def _write(self) -> None:
        """A full disk is no reason to stop, and is said once."""
        trouble = ""
        try:
            metrics.write(self._textfile, self.metrics.text())
        except HostError as error:
            trouble = chain(error)
        if trouble and trouble != self._trouble:
            log.warning("%s", trouble)
        self._trouble = trouble
