"""Kubeconfig files: a server, and whom to be there."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.api import Object, Server
    from tests.real.pki import Pair


def for_token(path: Path, server: Server, token: str) -> Path:
    return _write(path, server, {"token": token})


def for_pair(path: Path, server: Server, pair: Pair) -> Path:
    """Keys inline, so that the file can be carried into a container."""
    return _write(
        path,
        server,
        {
            "client-certificate-data": _base64(pair.cert),
            "client-key-data": _base64(pair.key),
        },
    )


def _write(path: Path, server: Server, user: Object) -> Path:
    cluster = {"server": server.url, "certificate-authority-data": _base64(server.ca)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    return path


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
