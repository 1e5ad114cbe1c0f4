"""What would let a pod land and still not give what it is for (kubernetes.md §0.3, §4.2)."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from nodeagent import data
from nodeagent.explain.pod import requests
from nodeagent.explain.pod.admission import Admitted
from nodeagent.explain.pod.judge import Standing
from nodeagent.explain.pod.nouns import Node
from nodeagent.explain.pod.words import Kind

GPU, PGPU, SWITCH = "nvidia.com/gpu", "nvidia.com/pgpu", "nvidia.com/nvswitch"
PPCIE_GPUS, PPCIE_SWITCHES = 8, 4
_MODES = ("nodeagent.io/gpu.cc-mode", "nvidia.com/cc.mode.state")
_CHIPS = ("nodeagent.io/gpu.chip", "nvidia.com/gpu.family", "nvidia.com/gpu.product")
_HOPPER = ("gh100", "hopper", "h100", "h200", "h800", "h20", "gh200")
_PLACED = frozenset({Kind.RESOURCE, Kind.OVERHEAD, Kind.HANDLER, Kind.CORDON})


class Note(NamedTuple):
    """One warning: what is wrong, why, and what to write instead."""

    name: str
    what: str
    why: tuple[str, ...]
    do: str


def never_confidential(admitted: Admitted) -> Note | None:
    """A plain Kata VM with a GPU, such as kata-qemu with nvidia.com/gpu (kubernetes.md §4.2)."""
    words = data.load("writers.json")["classes"]
    handler = _handler(admitted)
    gpu = next((name for name in admitted.pod.requests if _is_gpu(name)), None)
    if gpu is None or not handler.startswith("kata"):
        return None
    if any(word in handler for word in words["confidential"]):
        return None
    why = [f"its runtime, {handler}, starts a plain VM: neither SEV-SNP nor TDX encrypts it"]
    found = admitted.runtime_class
    if found and not any(
        value == "true" and key.endswith(("cc.ready.state", "/ready"))
        for key, value in found.selector.items()
    ):
        why.append(f"RuntimeClass {found.name} asks no node for a GPU in confidential mode")
    if gpu == GPU:
        why.append(
            f"{GPU} is offered where the host's own driver has the GPU, not where it is passed"
            f" through to a VM (there it is {PGPU}): this VM fails at its start, or has no GPU"
        )
    count = requests.counted(admitted.pod.requests)[gpu]
    do = f"write runtimeClassName: {words['write']} and resources.limits {PGPU}: {count}"
    return Note("never-confidential", "this pod can never be confidential", tuple(why), do)


def is_for_gpus(admitted: Admitted) -> bool:
    """Whoever names such a class may want a plain VM with a GPU, and knows how to get one."""
    return "gpu" in _handler(admitted)


def about_gpus(admitted: Admitted, standings: Iterable[Standing]) -> Iterator[Note]:
    """Of the nodes that it may land on, now or once there is room."""
    counts = requests.counted(admitted.pod.requests)
    gpus = sum(count for name, count in counts.items() if _is_gpu(name))
    switches = counts.get(SWITCH, 0)
    nodes = [each.node for each in standings if all(one.kind in _PLACED for one in each.reasons)]
    if not gpus and not switches:
        return
    ppcie = [node.name for node in nodes if _mode(node) == "ppcie"]
    if ppcie and (gpus, switches) != (PPCIE_GPUS, PPCIE_SWITCHES):
        yield _ppcie(ppcie, gpus, switches)
    hopper = [node.name for node in nodes if _mode(node) == "on" and _is_hopper(node)]
    if hopper and gpus > 1:
        yield _several(hopper, gpus)


def _ppcie(names: list[str], gpus: int, switches: int) -> Note:
    return Note(
        "ppcie-in-part",
        f"{_those(names)} in PPCIe mode: a pod there must take every GPU and NVSwitch",
        (f"this one asks for {gpus} of {PPCIE_GPUS} GPUs and {switches} of {PPCIE_SWITCHES}",),
        f"ask for {PGPU}: {PPCIE_GPUS} and {SWITCH}: {PPCIE_SWITCHES}, or for nodes in mode on",
    )


def _several(names: list[str], gpus: int) -> Note:
    return Note(
        "several-on-hopper",
        f"{_those(names)} with Hopper GPUs in mode on: one GPU a pod, this one asks for {gpus}",
        ("the link between GPUs is not protected in that mode, and NVIDIA does not support it",),
        f"ask for {PGPU}: 1, or for a node in PPCIe mode with all its GPUs and NVSwitches",
    )


def _those(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more} {'are' if more else 'is'}"


def _handler(admitted: Admitted) -> str:
    """Kata's chart names a class as its handler, so a class that is not there tells as well."""
    found = admitted.runtime_class
    return found.handler if found else admitted.pod.runtime_class or ""


def _is_gpu(name: str) -> bool:
    """Also where each GPU goes by its model, such as nvidia.com/GH100_H100_SXM5_80GB."""
    kind = name.removeprefix("nvidia.com/")
    return name in {GPU, PGPU} or (kind != name and kind[:2].isupper() and "_" in kind)


def _mode(node: Node) -> str:
    return next((node.labels[key] for key in _MODES if key in node.labels), "")


def _is_hopper(node: Node) -> bool:
    """Where nothing says which, it may be one."""
    told = [node.labels[key].lower() for key in _CHIPS if key in node.labels]
    return not told or any(word in each for each in told for word in _HOPPER)
