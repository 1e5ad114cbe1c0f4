"""`self-test` with a server that answers what it is told to."""

from dataclasses import dataclass, field

import pytest

from nodeagent.cli import self_test
from nodeagent.errors import ClusterError
from nodeagent.kube import forbidden
from nodeagent.kube.failures import UnreachableError, failure
from nodeagent.kube.forbidden import Answer, Attempt, Terms, Tried, Us
from nodeagent.kube.node import NodeView, view

US = Us("system:serviceaccount:nodeagent:nodeagent", "nodeagent", "nodeagent")
DENIED = (
    "nodes \"n\" is forbidden: ValidatingAdmissionPolicy 'nodeagent-own-node' denied request: no"
)
NO_RIGHT = 'secrets is forbidden: User "system:x" cannot list resource "secrets"'


@dataclass
class Server:
    """Answers each call alike, and keeps what was asked."""

    status: int = 200
    says: str = ""
    error: ClusterError | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)

    def ask(
        self,
        method: str,
        path: str,
        what: str,
        *,
        body: object = None,  # noqa: ARG002
        kind: str = "",  # noqa: ARG002
    ) -> tuple[int, object]:
        self.asked.append((method, path))
        if self.error is not None:
            raise self.error
        if self.status < 300 or (self.status == 404 and method == "GET"):
            return self.status, {}
        raise failure(self.status, what, self.says, retry_after=None)


def own(**labels: str) -> NodeView:
    return view({"metadata": {"name": "n", "uid": "u", "labels": labels}}, "")


def attempts(other: str = "m", *, is_authority: bool = False) -> list[Attempt]:
    terms = Terms("nodeagent.io/", is_authority)
    return list(forbidden.attempts(own(), other, US, terms))


def tried(server: Server, attempt: Attempt) -> Tried:
    return forbidden.tried(server, attempt)  # type: ignore[arg-type]


def test_nothing_is_asked_that_would_change_something() -> None:
    asked = attempts()
    writes = [each for each in asked if each.method != "GET"]
    assert len(writes) >= 20
    assert [each.what for each in writes if "dryRun=All" not in each.path] == []
    assert len({each.what for each in asked}) == len(asked)


def test_every_write_of_a_label_would_change_it() -> None:
    """Else the server would take it, as a request that changes nothing."""
    for mode in ("on", "off"):
        node = own(**{"nvidia.com/cc.mode": mode})
        bodies = [str(each.body) for each in forbidden.attempts(node, "", US, Terms("x/"))]
        assert not any(f"'nvidia.com/cc.mode': '{mode}'" in body for body in bodies)


def test_what_the_configuration_asks_for_is_not_tried() -> None:
    def whats(terms: Terms) -> set[str]:
        return {each.what for each in forbidden.attempts(own(), "m", US, terms)}

    only_looks = whats(Terms("nodeagent.io/"))
    assert only_looks - whats(Terms("nodeagent.io/", is_authority=True)) == {
        "set cc-manager's ready label of the own Node"
    }
    assert only_looks - whats(Terms("nodeagent.io/", may_evict=True)) == {"evict a pod"}


@pytest.mark.parametrize(
    ("status", "says", "answer", "why"),
    [
        (403, DENIED, Answer.REFUSED, "by a policy"),
        (422, DENIED, Answer.REFUSED, "by a policy"),
        (403, NO_RIGHT, Answer.REFUSED, "by its rights"),
        (422, "spec.x: Invalid value", Answer.UNKNOWN, "answered 422"),
        (401, "Unauthorized", Answer.UNKNOWN, "answered 401"),
        (400, "the webhook does not support dry run", Answer.UNKNOWN, "dry run"),
        (404, "pods not found", Answer.ALLOWED, "answered 404"),
        (409, "already exists", Answer.UNKNOWN, "answered 409"),
        (429, "slow down", Answer.UNKNOWN, "answered 429"),
        (500, "", Answer.UNKNOWN, "answered 500"),
        (200, "", Answer.ALLOWED, "answered 200"),
    ],
)
def test_only_a_refusal_counts_as_one(status: int, says: str, answer: Answer, why: str) -> None:
    found = tried(Server(status, says), Attempt("delete a pod", "DELETE", "/x"))
    assert found.answer is answer
    assert why in found.why


def test_a_node_that_went_away_proves_nothing() -> None:
    gone = Attempt("label", "PATCH", "/x", may_be_gone=True)
    assert tried(Server(404), gone).answer is Answer.UNKNOWN


def test_a_server_that_goes_away_is_no_refusal() -> None:
    server = Server(error=UnreachableError("cannot reach the API server"))
    assert tried(server, Attempt("x", "GET", "/x")).answer is Answer.UNKNOWN


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([Answer.REFUSED], 0),
        ([Answer.REFUSED, Answer.UNKNOWN], 3),
        ([Answer.UNKNOWN, Answer.ALLOWED], 1),
    ],
)
def test_the_code_is_that_of_the_worst(answers: list[Answer], code: int) -> None:
    assert self_test._code([Tried("x", each) for each in answers]) == code


def test_each_attempt_is_a_line_and_what_was_allowed_stands_out() -> None:
    found = [
        Tried("list all Nodes", Answer.REFUSED, "by its rights"),
        Tried("read all config maps", Answer.ALLOWED, "the API server answered 200"),
        Tried("delete a pod", Answer.UNKNOWN, "x " * 200),
    ]
    lines = list(self_test._lines(found, US, "n", ""))
    assert "  refused  list all Nodes (by its rights)" in lines
    assert "  ALLOWED  read all config maps: the API server answered 200" in lines
    assert lines[-1] == "1 of 3 refused, 1 ALLOWED, 1 could not be told"
    assert max(map(len, lines)) <= 80
