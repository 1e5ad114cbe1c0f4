"""What a pod asks for, added up as the scheduler does (k8s component-helpers `resource`)."""

from collections.abc import Iterable, Mapping

from nodeagent.explain.pod import quantity
from nodeagent.explain.pod.nouns import Counted
from nodeagent.explain.pod.trees import Tree

Amounts = dict[str, int]
_POD_LEVEL = ("cpu", "memory")
_HUGE = "hugepages-"


def asked(pod: Tree) -> Amounts:
    """Of a pod as it is written or as it runs, in billionths and without overhead."""
    spec = pod.at("spec")
    told = _told(pod)
    total = aggregate(
        [_effective(each, told) for each in spec.at("containers").items()],
        [_init(each, told) for each in spec.at("initContainers").items()],
    )
    return {**total, **_pod_level(spec, total)}


def is_sidecar(container: Tree) -> bool:
    return container.at("restartPolicy").text() == "Always"


def aggregate(containers: Iterable[Amounts], inits: Iterable[tuple[Amounts, bool]]) -> Amounts:
    """Containers run side by side; an init container beside the sidecars started before it."""
    total: Amounts = {}
    for each in containers:
        _add(total, each)
    sidecars: Amounts = {}
    most: Amounts = {}
    for each, sidecar in inits:
        if sidecar:
            _add(total, each)
            _add(sidecars, each)
            _raise(most, sidecars)
        else:
            at_once = dict(each)
            _add(at_once, sidecars)
            _raise(most, at_once)
    _raise(total, most)
    return total


def total(requests: Mapping[str, int], overhead: Mapping[str, int]) -> Amounts:
    """With what the pod's VM takes beside its containers."""
    found = dict(requests)
    _add(found, overhead)
    return found


def counted(amounts: Mapping[str, int]) -> Counted:
    """Only what the scheduler looks at: others are no resource to it (`IsScalarResourceName`)."""
    found = {}
    for name, amount in amounts.items():
        if name == "cpu":
            found[name] = quantity.milli(amount)
        elif name in {"memory", "ephemeral-storage", "pods"} or "/" in name or _is_plain(name):
            found[name] = quantity.whole(amount)
    return found


def _is_plain(name: str) -> bool:
    return name.startswith((_HUGE, "attachable-volumes-"))


def _pod_level(spec: Tree, total: Amounts) -> Amounts:
    """What the pod asks for as a whole; the API server fills it in where there is any limit.

    k8s `defaultPodRequests`: of CPU and memory what the containers ask for, else the limit.
    """
    resources = spec.at("resources")
    limits = _supported(resources.at("limits").amounts())
    requests = _supported(resources.at("requests").amounts())
    if resources.at("limits").value:
        for name in _POD_LEVEL:
            if name in total:
                requests.setdefault(name, total[name])
        for name, amount in limits.items():
            requests.setdefault(name, amount)
    return requests


def _supported(amounts: Amounts) -> Amounts:
    return {n: each for n, each in amounts.items() if n in _POD_LEVEL or n.startswith(_HUGE)}


def _told(pod: Tree) -> dict[str, Tree]:
    """The state of each container that its kubelet has told: one may be resized as it runs."""
    status = pod.at("status")
    lists = (status.at("containerStatuses"), status.at("initContainerStatuses"))
    found = {each.at("name").text(): each for tree in lists for each in tree.items()}
    infeasible = any(
        each.at("type").text() == "PodResizePending" and each.at("reason").text() == "Infeasible"
        for each in status.at("conditions").items()
    )
    return {**found, "": Tree(infeasible)} if infeasible else found


def _init(container: Tree, told: Mapping[str, Tree]) -> tuple[Amounts, bool]:
    """Of the init containers only sidecars can be resized."""
    sidecar = is_sidecar(container)
    return _effective(container, told if sidecar else {}), sidecar


def _effective(container: Tree, told: Mapping[str, Tree]) -> Amounts:
    """Requests, with limits where there are none, or what the kubelet has granted meanwhile."""
    resources = container.at("resources")
    wanted = {**resources.at("limits").amounts(), **resources.at("requests").amounts()}
    state = told.get(container.at("name").text() or "-")
    if state is None or state.at("resources").value is None:
        return wanted
    granted = state.at("resources", "requests").amounts()
    _raise(granted, state.at("allocatedResources").amounts())
    if "" not in told:
        _raise(granted, wanted)
    return granted


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise(total: Amounts, other: Mapping[str, int]) -> None:
    for name, amount in other.items():
        total[name] = max(total.get(name, 0), amount)
