"""Sees every version of a Node, and in which mode the GPUs were meanwhile."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.controlplane import words
from tests.real.api import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nodeagent.model.words import CcMode
    from tests.real.api import Object
    from tests.real.plane import ControlPlane

_EVERY_S = 0.004


class Version(NamedTuple):
    """When it was seen, which is never before it came to be."""

    at: float
    node: Object

    @property
    def says_ready(self) -> str | None:
        """Which of the two labels that place confidential pods stands."""
        labels = self.node["metadata"]["labels"]
        found = (key for key in (words.READY, words.CC_READY) if labels.get(key) == "true")
        return next(found, None)

    @property
    def label(self) -> str | None:
        found: str | None = self.node["metadata"]["labels"].get(words.CC_READY)
        return found

    @property
    def state(self) -> str | None:
        found: str | None = self.node["metadata"]["labels"].get(words.CC_STATE)
        return found


class Sample(NamedTuple):
    """The mode that all GPUs shared from `since` to `until` at least; None for any other state."""

    since: float
    until: float
    mode: str | None


class Witness:
    """For as long as a `with` block lasts."""

    def __init__(
        self, plane: ControlPlane, node: str, modes: Callable[[], Mapping[str, CcMode | None]]
    ) -> None:
        self._api, self._node, self._modes = plane.api, node, modes
        self.versions: list[Version] = []
        self.samples: list[Sample] = []
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._see, self._sample)
        ]

    def __enter__(self) -> Self:
        first = self._api.get(words.node_path(self._node))
        self._since = first["metadata"]["resourceVersion"]
        self.versions.append(Version(time.monotonic(), first))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Everything up to now: the last version is waited for."""
        last = self._api.get(words.node_path(self._node))["metadata"]["resourceVersion"]
        end = time.monotonic() + 30
        while time.monotonic() < end and int(self._since) < int(last):
            time.sleep(0.05)
        self._end.set()
        self._threads[1].join()
        assert int(self._since) >= int(last), "the watch lost the Node"

    def _see(self) -> None:
        while not self._end.is_set():
            query = f"watch=1&fieldSelector=metadata.name={self._node}&timeoutSeconds=60"
            path = f"/api/v1/nodes?{query}&resourceVersion={self._since}"
            try:
                for event in self._api.stream(path):
                    node = event["object"]
                    self.versions.append(Version(time.monotonic(), node))
                    self._since = node["metadata"]["resourceVersion"]
                    if self._end.is_set():
                        return
            except (OSError, ApiError):
                time.sleep(0.05)

    def _sample(self) -> None:
        while not self._end.wait(_EVERY_S):
            asked = time.monotonic()
            found = {mode for bdf, mode in self._modes().items() if bdf[5] != "c"}
            mode = str(found.pop()) if len(found) == 1 and None not in found else None
            last = self.samples[-1] if self.samples else None
            if last is not None and last.mode == mode:
                self.samples[-1] = last._replace(until=time.monotonic())
            else:
                self.samples.append(Sample(asked, time.monotonic(), mode))

    # What it has to say.

    @property
    def lies(self) -> list[str]:
        """Versions that were the Node's while a GPU was in another mode than they said.

        A version stands from before it is seen until before the next one is seen. What changed
        between two samples changed after the first of them.
        """
        ends = [*(each.at for each in self.versions[1:]), time.monotonic()]
        return [
            f"{version.says_ready} of {version.state} while the GPUs were {sample.mode}"
            for version, gone in zip(self.versions, ends, strict=True)
            if version.says_ready
            for sample in self.samples
            if sample.mode != version.state and sample.since < gone and sample.until > version.at
        ]

    def during_switches(self) -> list[Version]:
        """Versions with our note of a switch on them."""
        return [
            each
            for each in self.versions
            if words.SWITCH in each.node["metadata"].get("annotations", {})
        ]
