"""Rights that we turn out not to have: named once, tried again after a while, else left alone."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from nodeagent.kube.failures import RefusedError

AGAIN_S = 300.0
_T = TypeVar("_T")

log = logging.getLogger(__name__)


class Rights:
    """Of each thing that needs a right, whether it is worth trying now."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: dict[str, float] = {}

    def tried(self, what: str, otherwise: _T, write: Callable[[], _T]) -> _T:
        """What `write` gives; `otherwise` where it was refused. Other errors go through."""
        if what in self._refused and self._clock() < self._refused[what]:
            return otherwise
        try:
            done = write()
        except RefusedError as error:
            if what not in self._refused:
                hint = f" ({error.hint})" if error.hint else ""
                log.warning("%s%s; without that right %s is off", error, hint, what)
            self._refused[what] = self._clock() + AGAIN_S
            return otherwise
        if self._refused.pop(what, None) is not None:
            log.info("%s is allowed by now", what)
        return done
