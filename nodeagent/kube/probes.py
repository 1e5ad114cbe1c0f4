"""The probe pod: made from the site's manifest, looked at, and taken away."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from nodeagent.errors import UsageError
from nodeagent.kube.client import Api
from nodeagent.kube.failures import ConflictError, MissingError
from nodeagent.model.probe import ProbePod

_LIMIT = 1 << 18
_NAME = 200
_KEPT = ("labels", "annotations")

Object = dict[str, Any]


def manifest(path: str) -> Object:
    """The site's; UsageError where it is no pod."""
    import yaml  # noqa: PLC0415 - most have no probe

    try:
        with open(path, "rb") as file:
            raw = file.read(_LIMIT + 1)
        if len(raw) > _LIMIT:
            raise UsageError(f"the probe's manifest {path} is larger than {_LIMIT >> 10} KiB")
        found = yaml.safe_load(raw)
    except OSError as error:
        raise UsageError(f"cannot read the probe's manifest {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"the probe's manifest {path} is no YAML of one document") from error
    if not isinstance(found, dict) or found.get("kind") != "Pod":
        raise UsageError(f"the probe's manifest {path} is no Pod")
    spec = found.get("spec")
    if not isinstance(spec, dict) or not isinstance(spec.get("containers"), list):
        raise UsageError(f"the probe's manifest {path} has no containers")
    return found


def name_of(node: str, boot_id: str) -> str:
    return f"probe-{node[:_NAME]}-{boot_id[:8]}"


def body(
    made: Object, name: str, node: str, label: Mapping[str, str], *, deadline_s: float
) -> Object:
    """Bound to its node past the scheduler: the node is not ready yet, and nothing else says so.

    It gets no token, runs once, and the kubelet ends it should we be gone at its deadline.
    """
    told = made.get("metadata")
    about = {key: told[key] for key in _KEPT if key in told} if isinstance(told, dict) else {}
    labels = about.get("labels")
    kept = labels if isinstance(labels, dict) else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**about, "name": name, "labels": {**kept, **label}},
        "spec": {
            **made["spec"],
            "nodeName": node,
            "restartPolicy": "Never",
            "serviceAccountName": "default",
            "activeDeadlineSeconds": max(1, int(deadline_s)),
            "automountServiceAccountToken": False,
            "tolerations": [{"operator": "Exists"}],
        },
    }


class ProbePods:
    """Those of our own namespace. All raise ClusterError."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods"

    def get(self, name: str) -> ProbePod | None:
        status, told = self._api.ask("GET", f"{self._path}/{name}", "cannot read the probe pod")
        return _pod(told) if status != 404 and isinstance(told, dict) else None

    def create(self, made: Object) -> None:
        """One of that name that is there already will be looked at instead."""
        try:
            self._api.ask("POST", self._path, "cannot make the probe pod", body=made)
        except ConflictError:
            return

    def delete(self, name: str, uid: str) -> None:
        """Exactly that one; another of the same name, and one that is gone, is no error."""
        options = {"preconditions": {"uid": uid}}
        try:
            what = "cannot take the probe pod away"
            self._api.ask("DELETE", f"{self._path}/{name}", what, body=options)
        except (ConflictError, MissingError):
            return


def _pod(raw: Mapping[str, object]) -> ProbePod:
    about, status = _dict(raw, "metadata"), _dict(raw, "status")
    phase = status.get("phase")
    ended = {"Succeeded": True, "Failed": False}.get(str(phase))
    exits = [_dict(_dict(each, "state"), "terminated") for each in _statuses(status)]
    ran = [each for each in exits if each]
    return ProbePod(
        uid=str(about.get("uid", "")),
        created=_moment(about.get("creationTimestamp")),
        ended=ended,
        why=_why(status, ran, str(phase or "Pending")),
        is_refused=ended is False and not ran,
        is_leaving="deletionTimestamp" in about,
    )


def _statuses(status: Mapping[str, object]) -> list[Mapping[str, object]]:
    found = status.get("containerStatuses")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _why(status: Mapping[str, object], ran: list[Mapping[str, object]], phase: str) -> str:
    """The kubelet's words about the pod, else how its first bad container ended, else its phase."""
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    if reason or message:
        return ": ".join(filter(None, (reason, message)))
    for each in ran:
        if each.get("exitCode"):
            told = str(each.get("message") or "")
            return f"exit code {each['exitCode']}" + (f", {told}" if told else "")
    waiting = [_dict(_dict(each, "state"), "waiting") for each in _statuses(status)]
    return next((str(each["reason"]) for each in waiting if each.get("reason")), f"it is {phase}")


def _moment(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0


def _dict(raw: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}
