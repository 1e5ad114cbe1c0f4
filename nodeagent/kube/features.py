"""The calls about one NodeFeature, NFD's object for what others know of a Node."""

from typing import NamedTuple
from urllib.parse import quote

from nodeagent.kube.client import APPLY, MERGE, Api
from nodeagent.kube.failures import MissingError
from nodeagent.kube.node import MANAGER

_API = "nfd.k8s-sigs.io/v1alpha1"
OF_NODE = "nfd.node.kubernetes.io/node-name"


class Feature(NamedTuple):
    """What an object says. `boot_id`: the boot in which it was written."""

    node_uid: str
    boot_id: str
    labels: dict[str, str]


class FeatureClient:
    """One object in our own namespace, named after us and the Node. All raise ClusterError."""

    def __init__(self, api: Api, *, namespace: str, node: str, boot_key: str) -> None:
        self._api = api
        self._node, self._name = node, f"nodeagent-{node}"
        self._boot_key = boot_key
        self._folder = f"/apis/{_API}/namespaces/{namespace}/nodefeatures"
        self._path = f"{self._folder}/{quote(self._name, safe='')}"

    def get(self) -> Feature | None:
        status, told = self._api.ask("GET", self._path, f"cannot read NodeFeature {self._name}")
        return _feature(told, self._boot_key) if status == 200 else None

    def apply(self, feature: Feature) -> None:
        """Owned by the Node and not by our pod, with which all labels would go (§4.6)."""
        shown = self._patch("&force=true", self._body(feature), APPLY)
        # An apply takes away only what we alone had applied.
        foreign = dict.fromkeys(shown.labels.keys() - feature.labels.keys())
        if foreign:
            self._patch("", {"spec": {"labels": foreign}}, MERGE)

    def _body(self, feature: Feature) -> dict[str, object]:
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": feature.node_uid}
        return {
            "apiVersion": _API,
            "kind": "NodeFeature",
            "metadata": {
                "name": self._name,
                "labels": {OF_NODE: self._node},
                "annotations": {self._boot_key: feature.boot_id},
                "ownerReferences": [owner],
            },
            # Some versions of NFD demand all three kinds of features.
            "spec": {
                "features": {"flags": {}, "attributes": {}, "instances": {}},
                "labels": feature.labels,
            },
        }

    def _patch(self, more: str, body: dict[str, object], kind: str) -> Feature:
        what = f"cannot write NodeFeature {self._name}"
        path = f"{self._path}?fieldManager={MANAGER}{more}"
        try:
            _, told = self._api.ask("PATCH", path, what, body=body, kind=kind)
        except MissingError as error:
            raise MissingError(
                str(error), hint="is node-feature-discovery installed, with its NodeFeature API?"
            ) from error
        return _feature(told, self._boot_key)


def _feature(told: object, boot_key: str) -> Feature:
    metadata = _dict(told, "metadata")
    owners = metadata.get("ownerReferences")
    first = owners[0] if isinstance(owners, list) and owners else {}
    boot_id = _dict(metadata, "annotations").get(boot_key)
    uid = first.get("uid") if isinstance(first, dict) else None
    labels = _dict(_dict(told, "spec"), "labels")
    return Feature(str(uid or ""), str(boot_id or ""), {k: str(v) for k, v in labels.items()})


def _dict(raw: object, key: str) -> dict[str, object]:
    value = raw.get(key) if isinstance(raw, dict) else None
    return value if isinstance(value, dict) else {}
