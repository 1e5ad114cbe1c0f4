"""Where the agent of a host keeps what it tells, and what it tells."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodeagent.cli.options import Chosen
    from nodeagent.diary import Told
    from nodeagent.model.status import Asked

RUN_DIR = "/run/nodeagent"


def places(chosen: Chosen, run_dir: str = RUN_DIR) -> tuple[str | None, str | None]:
    """The folder of the status, and that of the history; None where there is none.

    What is said of a capture must not stand where this host's agent speaks.
    """
    if chosen.sim is not None:
        return str(chosen.state), None
    own = None if run_dir == RUN_DIR else run_dir
    if chosen.capture is not None:
        return own, None
    root = chosen.root or "/"
    return own or str(chosen.state), os.path.join(root, chosen.config.state_folder.lstrip("/"))


def told(chosen: Chosen) -> Told | None:
    """By an agent that lives; None where there is none, or where we may not read what it tells."""
    folder = None if chosen.capture is not None else _run_folder(chosen)
    if folder is None or not os.path.exists(os.path.join(folder, "status.json")):
        return None  # mostly; and then nothing else is loaded
    from nodeagent.diary import read_status  # noqa: PLC0415
    from nodeagent.errors import HostError  # noqa: PLC0415

    try:
        found = read_status(folder)
    except HostError:
        return None
    return found if found and found.is_alive else None


def _run_folder(chosen: Chosen) -> str:
    """As `Chosen.state`, without what a look has no use for."""
    if chosen.sim is not None:
        return os.path.join(os.path.dirname(os.path.abspath(chosen.sim)), "run")
    return os.path.join(chosen.root or "/", "run", "nodeagent")


def asked(chosen: Chosen) -> Asked | None:
    """The mode that the agent beside us goes by, unless another was given in so many words."""
    if chosen.is_mode_given:
        return None
    found = told(chosen)
    return found.status.wanted if found and found.status.wanted.mode else None
