"""A stand-in for node-feature-discovery: its worker's reading of features.d, its master's writing.

Restated from NFD's documentation and behaviour: what it reads, when it forgets, and which labels
it takes away again. The labels go through a real API server.
"""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from tests.real.api import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.real.api import Api

OWNED = "nfd.node.kubernetes.io/feature-labels"
FILE_BYTES = 64 << 10


def labels_in(folder: Path, now: datetime) -> dict[str, str]:
    """Of all files, in the order of their names; a later one wins."""
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file() or path.stat().st_size > FILE_BYTES:
            continue
        found |= read(path.read_text(), now)[0]
    return found


def read(text: str, now: datetime) -> tuple[dict[str, str], dict[str, str]]:
    """Labels, and raw features. A time that cannot be read is passed over: what follows stays."""
    labels: dict[str, str] = {}
    features: dict[str, str] = {}
    expires, no_label, no_feature = now, False, False
    for line in map(str.strip, text.split("\n")):
        if line.startswith("# +"):
            name, _, value = line[3:].partition("=")
            if name == "expiry-time":
                expires = _moment(value) or expires
            no_label |= name == "no-label"
            no_feature |= name == "no-feature"
            continue
        if not line or line.startswith("#") or expires < now:
            continue
        key, equals, value = line.partition("=")
        key = key if "/" in key else f"feature.node.kubernetes.io/{key}"
        if not no_label:
            labels[key] = value if equals else "true"
        if not no_feature:
            features[key] = value if equals else "true"
        no_label = no_feature = False  # they count for one line
    return labels, features


def _moment(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else None


class Nfd:
    """Writes to one Node what `wanted` says, again and again, for as long as a `with` lasts."""

    def __init__(
        self, api: Api, node: str, wanted: Callable[[], Mapping[str, str]], *, every_s: float = 0.5
    ) -> None:
        self._api, self._path = api, f"/api/v1/nodes/{node}"
        self._wanted = wanted
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    @classmethod
    def of_files(cls, api: Api, node: str, folder: Path, *, every_s: float = 0.5) -> Self:
        return cls(api, node, lambda: labels_in(folder, datetime.now(UTC)), every_s=every_s)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self._write(dict(self._wanted()))
            except (ApiError, OSError):
                continue  # it comes by again

    def _write(self, wanted: dict[str, str]) -> None:
        """What it wrote before and is not told any more it takes away, whoever else wrote it."""
        metadata = self._api.get(self._path)["metadata"]
        labels = metadata.get("labels", {})
        owned = json.loads(metadata.get("annotations", {}).get(OWNED, "[]"))
        change = {key: each for key, each in wanted.items() if labels.get(key) != each}
        gone = {key: None for key in owned if key not in wanted and key in labels}
        if change or gone or sorted(owned) != sorted(wanted):
            noted = {OWNED: json.dumps(sorted(wanted))}
            body = {"metadata": {"labels": {**change, **gone}, "annotations": noted}}
            self._api.patch(self._path, body)
