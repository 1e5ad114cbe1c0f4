"""Calls to an API server through the Kubernetes client library, imported here and nowhere else.

Only its transport and its reading of credentials are used: its models would turn every
Node, images and all, into thousands of objects.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import urllib3.exceptions
import yaml
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

from nodeagent import __version__
from nodeagent.errors import ClusterError
from nodeagent.kube.failures import RefusedError, UnreachableError, failure

TIMEOUT_S = (5.0, 10.0)  # to connect, and between two reads
_TOLD_CHARS = 300
_LINE_BYTES = 8 << 20

JSON = "application/json"
APPLY = "application/apply-patch+yaml"  # JSON is YAML
MERGE = "application/merge-patch+json"
PATCH = "application/json-patch+json"
Json = Mapping[str, object] | Sequence[Mapping[str, object]]


class Api:
    """Calls by path. Connects when first asked: the agent looks before it can talk.

    Credentials are read again whenever the server no longer takes them: a projected token
    and a kubelet's certificate both rotate, and the library re-reads only the former.
    """

    def __init__(
        self,
        kubeconfig: str | None,
        answered: Callable[[str, int | None], object] = lambda _verb, _status: None,
    ) -> None:
        """`answered` hears of each request: its verb, and the status or None for no answer."""
        self._kubeconfig = kubeconfig
        self._answered = answered
        self._api: ApiClient | None = None

    def close(self) -> None:
        if self._api:
            self._api.close()  # type: ignore[no-untyped-call]
            self._api = None

    def ask(
        self, method: str, path: str, what: str, *, body: Json | None = None, kind: str = JSON
    ) -> tuple[int, object]:
        """The answer's status and JSON. 404 is an answer to a GET; other refusals raise.

        `what` is what cannot be done then, such as `cannot read Node a`.
        """
        answer = self._send(method, path, body, kind)
        if answer.status == 401:
            self.close()
            answer = self._send(method, path, body, kind)
        told = _parsed(answer.data)
        if answer.status < 300 or (answer.status == 404 and method == "GET"):
            return answer.status, told
        raise failure(
            answer.status,
            what,
            _message(told),
            fields=[_word(cause, "field") for cause in _causes(told)],
            budget=_budget(told),
            retry_after=answer.retry_after,
        )

    def stream(
        self,
        path: str,
        what: str,
        *,
        read_s: float,
        opened: Callable[[], None] = lambda: None,
    ) -> Iterator[object]:
        """Each line of an answer that goes on, as JSON, until the server ends it.

        `opened` is told once the server has begun to answer: the first line may come late.

        Silence longer than `read_s` ends it with UnreachableError: a connection may be dead
        without a word.
        """
        response = self._open("WATCH", path, None, JSON, (TIMEOUT_S[0], read_s))
        if response.status >= 300:
            told = _parsed(_whole(response))
            after = response.headers.get("Retry-After")
            if response.status == 401:
                self.close()
            raise failure(response.status, what, _message(told), retry_after=after)
        opened()
        raw = response.response
        try:
            for line in _lines(raw.stream(None, decode_content=False)):
                yield _parsed(line)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnreachableError(f"{what}: the connection broke") from _innermost(error)
        finally:
            raw.close()

    def _send(self, method: str, path: str, body: Json | None, kind: str) -> "_Answer":
        response = self._open(method, path, body, kind, TIMEOUT_S)
        return _Answer(response.status, _whole(response), response.headers.get("Retry-After"))

    def _open(
        self, method: str, path: str, body: Json | None, kind: str, timeout: tuple[float, float]
    ) -> Any:  # noqa: ANN401 - the library has no types
        """The answer's head; its body is still to be read."""
        if self._api is None:
            self._api = _connect(self._kubeconfig)
        host: str = self._api.configuration.host
        headers = _headers(self._api, kind)
        verb = "GET" if method == "WATCH" else method
        try:
            response = self._api.call_api(
                verb, host + path, headers, body=body, _request_timeout=timeout
            )
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            self._answered(method, None)
            raise UnreachableError(f"cannot reach the API server {host}") from _innermost(error)
        self._answered(method, response.status)
        return response


def _whole(response: Any) -> bytes:  # noqa: ANN401
    try:
        data: bytes = response.read()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise UnreachableError("the API server's answer broke off") from _innermost(error)
    return data


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Lines, wherever the chunks end; one without an end is bounded and dropped."""
    left = b""
    for chunk in chunks:
        *whole, left = (left + chunk).split(b"\n")
        if len(left) > _LINE_BYTES:
            raise UnreachableError("a line of the watch has no end")
        yield from filter(None, whole)


class _Answer:
    __slots__ = ("data", "retry_after", "status")

    def __init__(self, status: int, data: bytes, retry_after: str | None) -> None:
        self.status = status
        self.data = data
        self.retry_after = retry_after


def _connect(kubeconfig: str | None) -> ApiClient:
    settings = Configuration()
    try:
        if kubeconfig:
            # By default the library writes refreshed credentials back into the file.
            load_kube_config(  # type: ignore[no-untyped-call]
                kubeconfig, client_configuration=settings, persist_config=False
            )
        else:
            load_incluster_config(settings)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise _no_credentials(kubeconfig) from error
    except _BAD_CONFIG:
        # The library's message may quote a whole user of the file, token and all.
        raise _no_credentials(kubeconfig) from None
    # Else the transport would sleep through a Retry-After, and the agent with it.
    settings.retries = False
    api = ApiClient(settings)
    api.user_agent = f"nodeagent/{__version__}"
    return api


# What the library lets through from a file that is no YAML, or of another shape.
_BAD_CONFIG = (
    ConfigException,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    yaml.YAMLError,
)


def _no_credentials(kubeconfig: str | None) -> ClusterError:
    if kubeconfig:
        return ClusterError(
            f"cannot use the kubeconfig {kubeconfig}",
            hint="it must be there, with a current context, a server, and files that can be read",
        )
    return ClusterError(
        "no way to the cluster: this is no pod, and no kubeconfig was given",
        hint="pass --kubeconfig FILE or set KUBECONFIG",
    )


def _headers(api: ApiClient, kind: str) -> dict[str, str]:
    headers = {"Accept": "application/json", "User-Agent": api.user_agent}
    if kind:
        headers["Content-Type"] = kind
    token = _token(api)
    if token:
        headers["authorization"] = token
    return headers


def _token(api: ApiClient) -> str:
    """Checked here, because http.client would put a malformed one into its error's text.

    The library keeps the line break at the end of a token file; every other client drops it.
    """
    try:
        said = api.configuration.auth_settings().get("BearerToken", {}).get("value")
    except (*_BAD_CONFIG, OSError):
        raise ClusterError("cannot read the token for the API server") from None
    token = str(said or "").strip()
    if not (token.isascii() and token.isprintable()):
        raise RefusedError(
            "the token for the API server is not one line of ASCII",
            hint="the token file may hold only the token",
        )
    return token


def _innermost(error: BaseException) -> BaseException:
    """The system's own words: those of the layers between name objects of the library."""
    seen: list[BaseException] = list(_chain(error))
    told = [each for each in seen if isinstance(each, OSError) and each.strerror]
    return (told or seen)[-1]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _parsed(data: bytes) -> object:
    try:
        parsed: object = json.loads(data)
    except ValueError:  # a proxy's page, or an answer cut short
        return None
    return parsed


def _message(told: object) -> str:
    return _word(told, "message")


def _causes(told: object) -> list[object]:
    """What a refused object was refused for."""
    details = told.get("details") if isinstance(told, dict) else None
    causes = details.get("causes") if isinstance(details, dict) else None
    return causes if isinstance(causes, list) else []


def _budget(told: object) -> str:
    """What a PodDisruptionBudget has against an eviction; empty where none has."""
    found = [cause for cause in _causes(told) if _word(cause, "reason") == "DisruptionBudget"]
    return "; ".join(_word(cause, "message") or _message(told) for cause in found)[:_TOLD_CHARS]


def _word(told: object, key: str) -> str:
    value = told.get(key) if isinstance(told, dict) else None
    text = value if isinstance(value, str) else ""
    return "".join(char if char.isprintable() else " " for char in text)[:_TOLD_CHARS]
