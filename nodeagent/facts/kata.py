"""Reads Kata Containers: where it is installed, its NVIDIA SNP configuration, its QEMU."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from nodeagent.facts import documents, plain_yaml
from nodeagent.facts.packages import Packages
from nodeagent.model.packages import KATA, QEMU
from nodeagent.model.runtime import Handler, Kata
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files

DEPLOYED = "/opt/kata"
_SHARE = "share/defaults/kata-containers"
SHIM = "qemu-nvidia-gpu-snp"
_BINARY = "bin/containerd-shim-kata-v2"
_QEMU_KEYS = ("assets", "hypervisor", "qemu")
_MAX_ROOTS = 8
_MAX_DROP_INS = 16


def read(
    files: Files, handlers: Iterable[Handler], packages: Packages, said: Mapping[str, str]
) -> tuple[tuple[Kata, ...], Unreadable | None]:
    """Every installation, and what kept us from looking for more.

    `said` are versions that somebody asked the programs for.
    """
    found, closed = [], None
    for root in _roots(handlers):
        there = [files.has(f"{root}/{each}") for each in (_SHARE, _BINARY)]
        if True in there:
            found.append(_installed(files, root, handlers, packages, said))
        else:
            closed = closed or next((each for each in there if isinstance(each, Unreadable)), None)
    return tuple(found), closed


def _roots(handlers: Iterable[Handler]) -> list[str]:
    """Where handlers point (kata-deploy may install under another name), then the usual two."""
    pointed = [
        root
        for handler in handlers
        for root in [handler.config.partition(f"/{_SHARE}/")[0]]
        if handler.config.startswith("/") and root != handler.config and "/../" not in root
    ]
    return list(dict.fromkeys([*pointed, DEPLOYED, "/usr"]))[:_MAX_ROOTS]


def _installed(
    files: Files,
    root: str,
    handlers: Iterable[Handler],
    packages: Packages,
    said: Mapping[str, str],
) -> Kata:
    shim, tree = _shim(files, root, handlers)
    path = _qemu_path(files, shim, tree) if isinstance(shim, str) else shim
    return Kata(
        root=root,
        version=said.get("kata") or _version(files, root, packages),
        shim=shim,
        qemu_path=path,
        qemu=said.get("qemu") or _qemu(files, root, path, packages),
    )


def _version(files: Files, root: str, packages: Packages) -> Seen[str]:
    """The release's own file; kata-deploy from 4.1 on may leave it out."""
    if root == "/usr":
        return packages.version(KATA)
    return files.read(f"{root}/VERSION", 64)


def _shim(files: Files, root: str, handlers: Iterable[Handler]) -> tuple[Seen[str], Seen[object]]:
    """The first configuration that is there: a handler's own, else as released."""
    gap: Unreadable | None = None
    for path in _candidates(root, handlers):
        tree = documents.read(files, path, documents.toml)
        if isinstance(tree, Unreadable):
            gap = gap or tree
        elif tree is not None:
            return path, tree
    return gap, gap


def _candidates(root: str, handlers: Iterable[Handler]) -> Iterator[str]:
    for handler in handlers:
        name = handler.config.rpartition("/")[2]
        if handler.config.startswith(f"{root}/") and name.startswith(f"configuration-{SHIM}"):
            yield handler.config
    share = f"{root}/{_SHARE}"
    for folder, shim in ((share, SHIM), (f"{share}/runtime-rs", f"{SHIM}-runtime-rs")):
        yield f"{folder}/runtimes/{shim}/configuration-{shim}.toml"
        yield f"{folder}/configuration-{shim}.toml"


def _qemu_path(files: Files, shim: str, tree: object) -> Seen[str]:
    """The last word of the configuration and its drop-ins."""
    path = documents.text(documents.table(tree, "hypervisor", "qemu"), "path")
    folder = f"{shim.rpartition('/')[0]}/config.d"
    names = files.names(folder)
    if isinstance(names, Unreadable):
        return names
    for name in sorted(names or ())[:_MAX_DROP_INS]:
        if not name.endswith(".toml"):
            continue
        more = documents.read(files, f"{folder}/{name}", documents.toml)
        if isinstance(more, Unreadable):
            return more
        path = documents.text(documents.table(more, "hypervisor", "qemu"), "path") or path
    return path or None


def _qemu(files: Files, root: str, path: Seen[str], packages: Packages) -> Seen[str]:
    """Its release's list of versions, or the package's where it is the distribution's own.

    The list has no version for the experimental builds, only a tag.
    """
    if not isinstance(path, str):
        return path
    if path.startswith("/usr/bin/"):
        return packages.version(QEMU)
    if path != f"{root}/bin/qemu-system-x86_64":
        return None
    tree = documents.read(files, f"{root}/versions.yaml", _pinned)
    if isinstance(tree, Unreadable):
        return tree
    return documents.text(documents.table(tree, *_QEMU_KEYS), "version") or None


@lru_cache(maxsize=4)
def _pinned(raw: bytes) -> object:
    """The file, or of it the one block that counts: as a whole it is work for the library."""
    lines = raw.decode(errors="replace").split("\n")
    for depth, key in enumerate(_QEMU_KEYS):
        head = f"{'  ' * depth}{key}:"
        if lines.count(head) != 1:
            return documents.yaml(raw)
        rest = lines[lines.index(head) + 1 :]
        deeper = "  " * (depth + 1)
        end = next((n for n, line in enumerate(rest) if line and not line.startswith(deeper)), None)
        lines = rest[:end]
    found = [line for line in lines if line.startswith("      version: ")]
    version = plain_yaml.read("\n".join(each.strip() for each in found).encode())
    if len(found) != 1 or version is None:
        return documents.yaml(raw)
    return {"assets": {"hypervisor": {"qemu": version}}}
