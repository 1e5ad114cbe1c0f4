"""How a call to the API server fails, by what the caller can do about it."""

from collections.abc import Collection

from nodeagent.errors import ClusterError


class UnreachableError(ClusterError):
    """No answer: the server, the network or a certificate is in the way; try later."""


class RefusedError(ClusterError):
    """401, 403 or a policy's 422: somebody has to grant it; trying again rarely helps."""

    def __init__(self, message: str, *, hint: str | None = None, status: int = 403) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class MissingError(ClusterError):
    """404: there is no such Node, or no longer."""


class ConflictError(ClusterError):
    """The Node is another one by now, or somebody else holds the field; look afresh.

    409 mostly. Another uid is a 409 where the Node is gone, but a 422 where it was made anew.
    """


class TooOldError(ClusterError):
    """410: the server no longer knows that version; list afresh."""


class BusyError(ClusterError):
    """429 or 503: the server asks to be left alone for `retry_after_s` seconds."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BudgetError(BusyError):
    """429 to an eviction: a PodDisruptionBudget allows none now. `says` names it."""

    def __init__(self, message: str, *, says: str, retry_after_s: float) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.says = says


_BUDGET_S = 5.0  # the server names no time where a budget is spent (node.md §3)
_HINTS = {
    401: "the token or certificate is not, or no longer, accepted: see --kubeconfig",
    403: "grant get and patch on nodes and patch on nodes/status, to this node's account only",
    422: "an admission policy of this cluster may stand against it",
}


def failure(  # noqa: PLR0913 - one for each part of an answer
    status: int,
    what: str,
    told: str,
    *,
    fields: Collection[str] = (),
    budget: str = "",
    retry_after: str | None,
) -> ClusterError:
    """The error for an answer that is no success.

    `fields` are those that were not accepted, `budget` what a disruption budget has against it.
    """
    message = f"{what}: the API server answered {status}{f', {told}' if told else ''}"
    match status:
        case 422 if "metadata.uid" in fields:
            return ConflictError(message)
        case 401 | 403 | 422:
            return RefusedError(message, hint=_HINTS[status], status=status)
        case 404:
            return MissingError(message)
        case 409:
            return ConflictError(message)
        case 410:
            return TooOldError(message)
        case 429 if budget:
            after_s = _seconds(retry_after) if retry_after else _BUDGET_S
            return BudgetError(message, says=budget, retry_after_s=after_s)
        case 429 | 503:
            return BusyError(message, retry_after_s=_seconds(retry_after))
        case _:
            return ClusterError(message)


def _seconds(retry_after: str | None) -> float:
    """Kubernetes sends whole seconds; a date, which HTTP allows as well, counts as one."""
    if retry_after and retry_after.isdecimal() and len(retry_after) < 6:
        return float(retry_after)
    return 1.0
