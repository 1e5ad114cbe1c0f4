"""A node whose devices are switched: a served machine, its Node, its operands and its agent."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

import yaml

from tests.controlplane import words
from tests.controlplane.agents import Agents
from tests.controlplane.operator import DEPLOY, OPERANDS, PGPU, Operator
from tests.controlplane.operator import NAMESPACE as OPERATORS
from tests.machine.simulated import served
from tests.real.api import ApiError
from tests.real.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.real.api import Object
    from tests.real.plane import ControlPlane
    from tests.real.process import Process

PATIENCE_S = 90.0
RATE = 50.0


class Site:
    """For as long as a `with` block lasts. Its agent has the account that may switch."""

    def __init__(
        self,
        plane: ControlPlane,
        node: str,
        folder: Path,
        *,
        rate: float = RATE,
        has_operands: bool = True,
        **config: object,
    ) -> None:
        self.plane, self.node, self._folder = plane, node, folder
        self.through: Path | None = None
        """The kubeconfig of its agent, if not one of its own."""
        self._rate, self._has_operands = rate, has_operands
        self._config = {"authority": True, "period_s": 1.0, **config}
        self._stack = ExitStack()
        self.agents = Agents(plane, folder)

    def __enter__(self) -> Self:
        self.machine = self._stack.enter_context(served(self._folder / "hgx", rate=self._rate))
        if self._has_operands:
            self.operator = self._stack.enter_context(Operator(self.plane, self.node))
        self._stack.callback(self.agents.end)  # first of all, while what it looks at is there
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # What a person does.

    def start(self, *options: str, **config: object) -> Process:
        path = self._folder / "config.yaml"
        path.write_text(json.dumps({**self._config, **config}))
        return self.agents.start_on(
            self.node,
            *("--sim", str(self.machine.socket), "--config", str(path)),
            *("--publish-simulated", *options),
            kubeconfig=self.through or self.agents.kubeconfig(self.node, account=words.MANAGE),
        )

    def ask(self, mode: str | None) -> None:
        self.label({words.CC_MODE: mode})

    def label(self, labels: Mapping[str, str | None]) -> None:
        self.plane.api.patch(words.node_path(self.node), {"metadata": {"labels": dict(labels)}})

    def make_node_anew(self, labels: Mapping[str, str]) -> None:
        """As an autoscaler or a person does it: the same name, and another Node."""
        self.plane.remove_node(self.node)
        self.plane.add_node(self.node, labels={**self.operator.labels, **labels})
        self.operator.forget()
        self.agents.kubeconfig(self.node, account=words.MANAGE)  # over the old one

    @contextmanager
    def without(self, binding: str) -> Iterator[None]:
        """Somebody took that RoleBinding away from the account, and gives it back."""
        folders = {"nodeagent-manage-slots": words.NAMESPACE, "nodeagent-manage-events": "default"}
        folder = folders.get(binding, OPERATORS)
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{folder}/rolebindings"
        found = self.plane.api.get(f"{path}/{binding}")
        self.plane.api.delete(f"{path}/{binding}")
        try:
            yield
        finally:
            kept = {key: found[key] for key in ("roleRef", "subjects")}
            self.plane.api.create(path, {"metadata": {"name": binding}, **kept})

    def spoil_token(self) -> None:
        """Refused from now on, as one is after its time: its account is another one."""
        path = f"/api/v1/namespaces/{words.NAMESPACE}/serviceaccounts"
        kubeconfig = self._folder / f"{self.node}-{words.MANAGE}.kubeconfig"
        token = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"]
        self.plane.api.delete(f"{path}/{words.MANAGE}")
        self.plane.api.create(path, {"metadata": {"name": words.MANAGE}})

        def it_is_refused() -> bool:
            try:
                self.plane.api_as(token).get(words.node_path(self.node))
            except ApiError as error:
                return error.status == 401
            return False

        self.until(it_is_refused)  # the server remembers a token for 10 s

    def renew_token(self) -> None:
        self.agents.kubeconfig(self.node, account=words.MANAGE)

    def harm(self) -> Sequence[str]:
        """What must never be done to a device: the model noticed it."""
        return self.machine.machine.harm

    # What there is.

    @property
    def shown(self) -> Object:
        return self.plane.node(self.node)

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = self.shown["metadata"]["labels"]
        return found

    @property
    def annotations(self) -> dict[str, str]:
        found: dict[str, str] = self.shown["metadata"].get("annotations", {})
        return found

    def nvidias(self) -> dict[str, str]:
        return {key: each for key, each in self.labels.items() if key.startswith("nvidia.com/")}

    def condition(self) -> dict[str, Any]:
        return words.condition(self.shown) or {}

    def last_switch(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.annotations[words.LAST_SWITCH])
        return told

    def events(self) -> list[Object]:
        every = self.plane.api.items("/api/v1/namespaces/default/events")
        return [each for each in every if each["involvedObject"].get("name") == self.node]

    def modes(self) -> dict[str, str]:
        """What the GPUs run in."""
        found = self.machine.machine.modes()
        return {bdf: str(mode) for bdf, mode in found.items() if bdf[5] != "c"}

    # What must come to be so.

    def until(self, is_so: Callable[[], object], within_s: float = PATIENCE_S) -> None:
        eventually(is_so, within_s=within_s)

    def until_ready(self, within_s: float = PATIENCE_S) -> None:
        def so() -> bool:
            node = self.shown
            labels = node["metadata"]["labels"]
            status = (words.condition(node) or {}).get("status")
            ready = words.is_ready(node) and labels.get(words.CC_READY) == "true"
            return ready and status == "True" and not self._is_under_way(node)

        self.until(so, within_s)

    def until_settled(self, within_s: float = PATIENCE_S) -> None:
        self.until(lambda: not self._is_under_way(self.shown), within_s)

    def until_settled_in(self, mode: str, within_s: float = PATIENCE_S) -> None:
        def so() -> bool:
            node = self.shown
            in_it = node["metadata"]["labels"].get(words.CC_STATE) == mode
            return in_it and not self._is_under_way(node)

        self.until(so, within_s)

    def is_untouched(self) -> bool:
        """Nothing of a switch is on the Node: no note, no cordon, no pause."""
        node = self.shown
        values = "".join(node["metadata"]["labels"].values())
        cordoned = node["spec"].get("unschedulable", False)
        return not (self._is_under_way(node) or words.TOKEN in values or cordoned)

    def started_switches(self) -> int:
        return sum(each["reason"] == "SwitchStarted" for each in self.events())

    @staticmethod
    def _is_under_way(node: Object) -> bool:
        annotations = node["metadata"].get("annotations", {})
        return words.SWITCH in annotations or words.CORDONED in annotations

    def demand_whole(self) -> None:
        """Nothing of a switch is left on the Node or on the host, and all operands run."""
        node = self.shown
        labels = node["metadata"]["labels"]
        assert {labels[f"{DEPLOY}{name}"] for name in OPERANDS} == {"true"}
        assert not self._is_under_way(node)
        assert not node["spec"].get("unschedulable")
        assert node["status"]["allocatable"][PGPU] == "8"
        assert self.machine.owed == []
        assert self.harm() == ()
        for bdf in self.modes():
            assert self.machine.driver(bdf) == "vfio-pci", bdf
