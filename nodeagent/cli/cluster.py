"""The options of commands about a whole cluster: how to reach it, and which words are ours."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import click

from nodeagent import config as settings
from nodeagent.cli.options import complete_path

if TYPE_CHECKING:
    from collections.abc import Callable

_AS_KUBECTL = "~/.kube/config"
_OPTIONS = (
    click.option(
        "--kubeconfig",
        envvar="KUBECONFIG",
        show_envvar=True,
        metavar="FILE",
        help="How to reach the cluster; else ~/.kube/config, else as the pod that this is.",
        shell_complete=complete_path("file"),
    ),
    click.option(
        "--config",
        "config_path",
        metavar="FILE",
        help="Settings instead of /etc's: the prefix of our words.",
        shell_complete=complete_path("file"),
    ),
)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the arguments `kubeconfig` and `prefix`."""

    @functools.wraps(command)
    def wrapped(
        *args: Any,  # noqa: ANN401
        kubeconfig: str | None,
        config_path: str | None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        prefix = settings.load(config_path).prefix
        return command(*args, kubeconfig=kubeconfig or _own(), prefix=prefix, **kwargs)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _own() -> str | None:
    path = os.path.expanduser(_AS_KUBECTL)
    return path if os.path.exists(path) else None


def selector_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "-l",
        "--selector",
        default="",
        metavar="LABELS",
        help="Only nodes with these labels, as kubectl takes them.",
    )(command)
