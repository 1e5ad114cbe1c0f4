"""Plain calls to an API server: what was sent and answered, with nothing in between.

Tests of permissions have to see the status that the server gave; a client library that builds
objects, retries and converts errors would stand in the way.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.pki import Pair

Object = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"  # JSON is YAML


class ApiError(Exception):
    """The server understood, and answered no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Server(NamedTuple):
    """Where an API server is, and who vouches for it. It may come and go."""

    port: int
    ca: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


class Api:
    """One caller's view of a server. A connection for each call, so restarts do not matter."""

    def __init__(
        self,
        server: Server,
        *,
        pair: Pair | None = None,
        token: str = "",
        timeout_s: float = 30.0,
    ) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._token = token
        self._context = ssl.create_default_context(cafile=server.ca)
        if pair is not None:
            self._context.load_cert_chain(pair.cert, pair.key)

    def get(self, path: str) -> Object:
        return self._call("GET", path)

    def items(self, path: str) -> list[Object]:
        items: list[Object] = self._call("GET", path)["items"]
        return items

    def create(self, path: str, body: Object) -> Object:
        return self._call("POST", path, body)

    def replace(self, path: str, body: Object) -> Object:
        return self._call("PUT", path, body)

    def patch(self, path: str, body: Object, kind: str = MERGE) -> Object:
        return self._call("PATCH", path, body, kind)

    def delete(self, path: str) -> Object:
        return self._call("DELETE", path)

    def history(self, path: str, since: str) -> list[Object]:
        """Each state of the object at `path` after the resource version `since`, oldest first.

        A watch replays what happened, so a test can look afterwards for a state that lasted a
        millisecond. An object that was deleted shows its last state, as the watch tells it.
        """
        folder, name = path.rsplit("/", 1)
        query = f"watch=1&fieldSelector=metadata.name={name}&resourceVersion={since}"
        lines = self.text(f"{folder}?{query}&timeoutSeconds=1").splitlines()
        return [json.loads(line)["object"] for line in lines]

    def stream(self, path: str) -> Iterator[Object]:
        """Each event of a watch as it comes, until the server ends it or the caller does."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self._server.port, context=self._context, timeout=self._timeout_s
        )
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request("GET", path, None, headers)
            response = connection.getresponse()
            if response.status >= http.HTTPStatus.BAD_REQUEST:
                raise ApiError(response.status, _message(response.read()))
            for line in response:
                yield json.loads(line)
        finally:
            connection.close()

    def text(self, path: str) -> str:
        """For answers that are no JSON, such as those of /readyz."""
        return self._ask("GET", path, None, "").decode()

    def _call(
        self, method: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> Object:
        sent = None if body is None else json.dumps(body).encode()
        answer: Object = json.loads(self._ask(method, path, sent, kind))
        return answer

    def _ask(self, method: str, path: str, body: bytes | None, kind: str) -> bytes:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self._server.port, context=self._context, timeout=self._timeout_s
        )
        headers = {"Accept": "application/json"}
        if kind:
            headers["Content-Type"] = kind
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            told = response.read()
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise ApiError(response.status, _message(told))
        return told


def _message(told: bytes) -> str:
    try:
        return str(json.loads(told)["message"])
    except (ValueError, KeyError, TypeError):
        return told.decode(errors="replace")
