"""Container images for test nodes, made from Debian packages: there is no registry to pull from.

`python -m tests.real.image` makes what changes rarely (a minute, once). The agent's own image is
made from the same Containerfile that users build, each time the code changes (half a minute).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).parents[2]
AGENT = "localhost/nodeagent:test"
TOOLS = "localhost/tools:1"  # busybox: the pause container, and a workload that just runs

_CONTAINERFILE = REPOSITORY / "daemonset" / "Containerfile"
_BASE = "localhost/base"
_MMDEBSTRAP = (
    "mmdebstrap",
    "--quiet",
    "--format=tar",
    "--variant=essential",
    "--include=ca-certificates,python3,python3-pip,python3-venv",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "bookworm",
)
_TOOLS_FILE = """\
FROM scratch
COPY busybox /bin/busybox
ENTRYPOINT ["/bin/busybox", "sleep", "2147483647"]
"""
# What the agent's image is made of, beside the Containerfile.
_SOURCES = ("LICENSE", "README.md", "pyproject.toml", "requirements", "nodeagent")


class ImageError(Exception):
    """An image could not be made; the text ends with what the program said."""


def agent() -> Path:
    """An archive with the agent's image, named AGENT, of the code as it is now."""
    return _kept("agent", _digest(_agent_files(), *_MMDEBSTRAP), _make_agent)


def tools() -> Path:
    """An archive with the image TOOLS."""
    return _kept("tools", _digest([_busybox()], _TOOLS_FILE), _make_tools)


def _base() -> Path:
    """A root file system with Python and pip. Its packages are as of the day it was made."""
    return _kept("base", _digest([], *_MMDEBSTRAP), _make_base)


def _make_base(archive: Path) -> None:
    _run(*_MMDEBSTRAP, str(archive))


def _make_tools(archive: Path) -> None:
    with _Store() as store:
        (store.folder / "Containerfile").write_text(_TOOLS_FILE)
        shutil.copy(_busybox(), store.folder / "busybox")
        store.run("bud", "--quiet", "--tag", TOOLS, str(store.folder))
        store.push(TOOLS, archive)


def _make_agent(archive: Path) -> None:
    base = _base()
    with _Store() as store:
        container = store.run("from", "scratch").strip()
        store.run("add", "--quiet", container, str(base), "/")
        store.run("commit", "--quiet", container, _BASE)
        store.run(
            *("bud", "--quiet", "--file", str(_CONTAINERFILE), "--tag", AGENT),
            *("--build-arg", f"BASE={_BASE}"),
            *_as_here(),
            str(REPOSITORY),
        )
        store.push(AGENT, archive)


def _as_here() -> Iterator[str]:
    """What this machine's pip trusts and has downloaded counts inside the build, too."""
    yield from ("--volume", "/etc/ssl/certs:/etc/ssl/certs:ro")
    try:
        cache = Path(_run(sys.executable, "-m", "pip", "cache", "dir").strip())
    except ImageError:  # switched off here, so there as well
        pass
    else:
        cache.mkdir(parents=True, exist_ok=True)
        yield from ("--volume", f"{cache}:/root/.cache/pip")
    for name, value in os.environ.items():
        if name.startswith("PIP_") and name != "PIP_FIND_LINKS":
            yield from ("--env", f"{name}={value}")


class _Store:
    """buildah's own storage, of one build: nobody's images get in, and none stay behind."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="nodeagent-image-", dir=_cache()))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)

    def run(self, command: str, *args: str) -> str:
        storage = ("--root", str(self.folder / "store"), "--runroot", str(self.folder / "run"))
        # Neither needs more privileges than a container here has; vfs costs copies, not trust.
        environment = os.environ | {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}
        return _run("buildah", *storage, command, *args, environment=environment)

    def push(self, image: str, archive: Path) -> None:
        self.run("push", "--quiet", image, f"docker-archive:{archive}:{image}")


def _kept(kind: str, digest: str, make: Callable[[Path], None]) -> Path:
    """The archive of that kind and content, made if it is not there. Two makers take turns."""
    folder = _cache()
    path = folder / f"{kind}-{digest}.tar"
    with _lock(folder / f"{kind}.lock"):
        if not path.exists():
            part = path.with_suffix(".part")
            part.unlink(missing_ok=True)
            make(part)
            for old in folder.glob(f"{kind}-*.tar"):
                old.unlink()  # every edit of the code makes a new one
            part.rename(path)
    return path


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = os.environ.get("NODEAGENT_TEST_CACHE") or Path(base) / "nodeagent-tests"
    folder = Path(root).absolute() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _agent_files() -> list[Path]:
    found = [_CONTAINERFILE]
    for name in _SOURCES:
        path = REPOSITORY / name
        found += [path] if path.is_file() else sorted(path.rglob("*"))
    return [path for path in found if path.is_file() and path.suffix != ".pyc"]


def _digest(files: list[Path], *texts: str) -> str:
    digest = hashlib.sha256(repr(texts).encode())
    for path in files:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _busybox() -> Path:
    path = shutil.which("busybox")
    if path is None:
        raise ImageError("no busybox: install the packages that tests/node/packages.txt names")
    return Path(path)


def _run(*command: str, environment: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ImageError(f"no {command[0]}: tests/node/packages.txt names its package") from error
    if done.returncode != 0:
        told = (done.stderr or done.stdout).strip().splitlines()[-8:]
        raise ImageError("\n".join([" ".join(command), *told]))
    return done.stdout


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> int:
    try:
        print(tools())
        print(_base())
    except ImageError as error:
        print(f"tests.real.image: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
