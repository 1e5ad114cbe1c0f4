"""What the agent's credentials must not be able to do, tried on the server, which changes nothing.

Every attempt is a dry run: where one is allowed after all, the server only says so. What a
policy refuses it refuses in a dry run as well.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import quote, urlencode

from nodeagent.errors import ClusterError
from nodeagent.kube.client import JSON, MERGE, Api
from nodeagent.kube.failures import MissingError, RefusedError, UnreachableError
from nodeagent.kube.node import NodeView, event

STRATEGIC = "application/strategic-merge-patch+json"
_DRY = "?dryRun=All"
_KEY = "example.com/nodeagent-self-test"
_NODES = "/api/v1/nodes"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
_WATCH_S = 5
Body = Mapping[str, object]


class Answer(StrEnum):
    REFUSED = "refused"
    ALLOWED = "allowed"
    UNKNOWN = "unknown"


class Attempt(NamedTuple):
    """`may_be_gone`: a 404 then says nothing; of all others that what was asked was allowed."""

    what: str
    method: str
    path: str
    body: Body | None = None
    kind: str = JSON
    may_be_gone: bool = False


class Tried(NamedTuple):
    what: str
    answer: Answer
    why: str = ""


class Us(NamedTuple):
    """Who asks: the name of the account, and of a service account where it lives."""

    user: str
    namespace: str = ""
    account: str = ""


class Terms(NamedTuple):
    """What the configuration lets this agent do, which is then no wrong."""

    prefix: str
    is_authority: bool = False
    may_evict: bool = False


def us(api: Api) -> Us:
    """ClusterError where even this is not answered: then nothing else would be."""
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    _, told = api.ask("POST", path, "cannot ask who we are", body=body)
    status = told.get("status") if isinstance(told, dict) else None
    info = status.get("userInfo") if isinstance(status, dict) else None
    user = str(info.get("username", "")) if isinstance(info, dict) else ""
    kind, _, rest = user.partition("system:serviceaccount:")
    namespace, _, account = rest.partition(":") if not kind else ("", "", "")
    return Us(user, namespace, account)


def another(api: Api, own: str) -> str:
    """The name of any other Node, empty where there is none, or where we may not see it.

    Nobody may list Nodes here; but who may watch its own sees the others come by.
    """
    asked = {"watch": "1", "fieldSelector": f"metadata.name!={own}", "timeoutSeconds": _WATCH_S}
    what = "cannot see another Node"
    try:
        # Its first event ends it: the stream is closed with the generator.
        for each in api.stream(f"{_NODES}?{urlencode(asked)}", what, read_s=_WATCH_S + 5):
            seen = event(each, "").node
            if seen is not None:
                return seen.name
    except (RefusedError, UnreachableError):
        pass
    return ""


def attempts(node: NodeView, other: str, who: Us, terms: Terms) -> Iterator[Attempt]:
    yield from _on_another(other, terms.prefix)
    yield from _on_our_own(node, terms)
    yield from _on_nodes(node.name)
    yield from _elsewhere(who, terms)
    yield from _for_more(who)


def _on_another(name: str, prefix: str) -> Iterator[Attempt]:
    if not name:
        return
    path, ready = _node(name), {"metadata": {"labels": {f"{prefix}ready": "true"}}}
    told = f"of another Node ({name})"
    yield Attempt(f"set a label {told}", "PATCH", path + _DRY, ready, MERGE, may_be_gone=True)
    path += f"/status{_DRY}"
    yield Attempt(f"set the status {told}", "PATCH", path, ready, MERGE, may_be_gone=True)
    yield Attempt(f"delete another Node ({name})", "DELETE", _node(name) + _DRY, may_be_gone=True)


def _on_our_own(node: NodeView, terms: Terms) -> Iterator[Attempt]:
    def patch(what: str, change: Body, *, through: str = "", kind: str = MERGE) -> Attempt:
        path = _node(node.name) + through + _DRY
        return Attempt(f"{what} of the own Node", "PATCH", path, change, kind)

    foreign = {_KEY: "1"}
    yield patch("set a label of others", {"metadata": {"labels": foreign}})
    yield patch(
        "set a label of others, through the status",
        {"metadata": {"labels": foreign}},
        through="/status",
    )
    asked = "off" if node.labels.get("nvidia.com/cc.mode") == "on" else "on"
    yield patch("set the wanted mode", {"metadata": {"labels": {"nvidia.com/cc.mode": asked}}})
    if not terms.is_authority:
        said = "false" if node.labels.get("nvidia.com/cc.ready.state") == "true" else "true"
        state = {"nvidia.com/cc.ready.state": said}
        yield patch("set cc-manager's ready label", {"metadata": {"labels": state}})
    yield patch("set an annotation of others", {"metadata": {"annotations": foreign}})
    yield patch("set a finalizer", {"metadata": {"finalizers": [_KEY]}})
    taint = {"key": _KEY, "effect": "NoSchedule"}
    yield patch("set a taint of others", {"spec": {"taints": [taint]}}, kind=STRATEGIC)
    cordon = None if node.unschedulable else True
    what = "lift a cordon" if node.unschedulable else "cordon without saying that it is ours"
    yield patch(what, {"spec": {"unschedulable": cordon}})
    condition = {"type": _KEY, "status": "True", "reason": "SelfTest", "message": ""}
    yield patch(
        "set a condition of others",
        {"status": {"conditions": [condition]}},
        through="/status",
        kind=STRATEGIC,
    )
    room = {"status": {"allocatable": {"nvidia.com/gpu": "1048576"}}}
    yield patch("offer devices", room, through="/status")


def _on_nodes(own: str) -> Iterator[Attempt]:
    yield Attempt("delete the own Node", "DELETE", _node(own) + _DRY)
    made = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"generateName": "nodeagent-self-test-"},
    }
    yield Attempt("make a Node", "POST", _NODES + _DRY, made)
    yield Attempt("list all Nodes", "GET", f"{_NODES}?limit=1")


def _elsewhere(who: Us, terms: Terms) -> Iterator[Attempt]:
    own = who.namespace or "default"
    yield Attempt("read the secrets of all namespaces", "GET", "/api/v1/secrets?limit=1")
    yield Attempt("read the secrets of its own namespace", "GET", _in(own, "secrets?limit=1"))
    yield Attempt("read all config maps", "GET", "/api/v1/configmaps?limit=1")
    yield Attempt("list the pods of all namespaces", "GET", "/api/v1/pods?limit=1")
    yield Attempt("list the pods of kube-system", "GET", _in("kube-system", "pods?limit=1"))
    for namespace in dict.fromkeys((own, "kube-system")):
        path = _in(namespace, f"pods{_DRY}")
        yield Attempt(f"start a pod in {namespace}", "POST", path, _pod())
    yield Attempt("delete a pod", "DELETE", _in("kube-system", f"pods/nodeagent-self-test{_DRY}"))
    if not terms.may_evict:
        path = _in("kube-system", f"pods/nodeagent-self-test/eviction{_DRY}")
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": "nodeagent-self-test", "namespace": "kube-system"},
        }
        yield Attempt("evict a pod", "POST", path, body)
    path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases{_DRY}"
    lease = {"metadata": {"generateName": "nodeagent-self-test-"}}
    yield Attempt("write a heartbeat of the kubelets", "POST", path, lease)


def _for_more(who: Us) -> Iterator[Attempt]:
    """What would make rights out of rights."""
    accounts = [("kube-system", "default")]
    if who.account:
        accounts.append((who.namespace, who.account))
    for namespace, account in accounts:
        path = _in(namespace, f"serviceaccounts/{quote(account, safe='')}/token{_DRY}")
        yield Attempt(f"make a token of {namespace}/{account}", "POST", path, {"spec": {}})
    binding = {
        "metadata": {"generateName": "nodeagent-self-test-"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "cluster-admin",
        },
        "subjects": [
            {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "nodeagent-self-test"}
        ],
    }
    yield Attempt(
        "bind the role of an admin", "POST", f"{_RBAC}/clusterrolebindings{_DRY}", binding
    )
    yield Attempt("read admission policies", "GET", f"{_POLICIES}?limit=1")
    yield Attempt("delete the agent's policies", "DELETE", f"{_POLICIES}/nodeagent-own-node{_DRY}")


def tried(api: Api, attempt: Attempt) -> Tried:
    """A server that is gone in between is told, and is no refusal."""
    what = f"cannot {attempt.what}"
    try:
        status, _ = api.ask(
            attempt.method, attempt.path, what, body=attempt.body, kind=attempt.kind
        )
    except RefusedError as error:
        return _refused(attempt, error)
    except MissingError as error:
        answer = Answer.UNKNOWN if attempt.may_be_gone else Answer.ALLOWED
        return Tried(attempt.what, answer, str(error))
    except ClusterError as error:
        return Tried(attempt.what, Answer.UNKNOWN, str(error))
    return Tried(attempt.what, Answer.ALLOWED, f"the API server answered {status}")


def _refused(attempt: Attempt, error: RefusedError) -> Tried:
    """An object that is not valid (422) was refused for that, unless a policy says it was it."""
    said = str(error)
    by_policy, by_rights = "ValidatingAdmissionPolicy" in said, 'User "' in said
    if error.status == 403 or (error.status == 422 and by_policy):
        why = (
            "by a policy"
            if by_policy
            else "by its rights"
            if by_rights
            else said.partition(", ")[2]
        )
        return Tried(attempt.what, Answer.REFUSED, why)
    return Tried(attempt.what, Answer.UNKNOWN, said)


def _pod() -> Body:
    container = {"name": "self-test", "image": "example.com/nodeagent-self-test"}
    spec = {"containers": [container], "automountServiceAccountToken": False}
    metadata = {"generateName": "nodeagent-self-test-"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _node(name: str) -> str:
    return f"{_NODES}/{quote(name, safe='')}"


def _in(namespace: str, rest: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/{rest}"
