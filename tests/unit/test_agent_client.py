"""What the client does before and after the network: credentials, and the words of a refusal."""

import json
from pathlib import Path

import pytest

from nodeagent.agent.logs import chain
from nodeagent.errors import ClusterError
from nodeagent.kube.client import Api
from nodeagent.kube.failures import (
    BusyError,
    ConflictError,
    MissingError,
    RefusedError,
    failure,
)
from nodeagent.kube.nodes import NodeClient

SECRET = "s3cr3t"  # noqa: S105 - made up, and never to be seen


def kubeconfig(folder: Path, user: dict[str, object], *, name: str = "test") -> str:
    """A server that is not there: whoever gets as far as calling it has gone too far."""
    config = {
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": name, **user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


def ask(path: str | None) -> ClusterError:
    with pytest.raises(ClusterError) as caught:
        NodeClient(Api(path), condition_type="x").get("n")
    return caught.value


def test_a_token_file_of_two_lines_is_refused_without_being_quoted(tmp_path: Path) -> None:
    """http.client would put the whole header into its error."""
    token = tmp_path / "token"
    token.write_text(f"{SECRET}\nand more")
    error = ask(kubeconfig(tmp_path, {"user": {"tokenFile": str(token)}}))

    assert isinstance(error, RefusedError)
    assert SECRET not in chain(error)


def test_a_kubeconfig_of_another_shape_is_not_quoted_either(tmp_path: Path) -> None:
    """The library's message for it holds the user with the token."""
    error = ask(kubeconfig(tmp_path, {"token": SECRET}))

    assert SECRET not in chain(error)
    assert "kubeconfig" in str(error)


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "contexts: 1", "current-context: x"])
def test_what_is_no_kubeconfig_is_a_cluster_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    assert ask(str(path)).hint


def test_neither_pod_nor_kubeconfig_names_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    error = ask(None)
    assert error.hint
    assert "--kubeconfig" in error.hint


@pytest.mark.parametrize(
    ("status", "fields", "kind"),
    [
        (401, (), RefusedError),
        (403, (), RefusedError),
        (404, (), MissingError),
        (409, (), ConflictError),
        (422, (), RefusedError),
        (422, ("metadata.uid",), ConflictError),
        (429, (), BusyError),
        (503, (), BusyError),
        (500, (), ClusterError),
    ],
)
def test_a_refusal_is_sorted_by_what_can_be_done(
    status: int, fields: tuple[str, ...], kind: type[ClusterError]
) -> None:
    error = failure(status, "cannot do it", "told", fields=fields, retry_after=None)
    assert type(error) is kind
    assert str(error) == f"cannot do it: the API server answered {status}, told"


@pytest.mark.parametrize(
    ("told", "seconds"), [("30", 30.0), (None, 1.0), ("Wed, 21 Oct 2026", 1.0), ("9" * 30, 1.0)]
)
def test_retry_after_is_read_if_it_is_seconds(told: str | None, seconds: float) -> None:
    error = failure(429, "x", "", retry_after=told)
    assert isinstance(error, BusyError)
    assert error.retry_after_s == seconds
