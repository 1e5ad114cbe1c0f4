"""k3s and RKE2: where their configuration stands, and the part of it that may leave its file.

The same files and command lines hold the cluster's token. So what is read of them is first cut
down to what the kubelet is given: facts are made of that part, and a capture holds no other.
"""

from collections.abc import Iterator, Sequence

PRODUCTS = ("k3s", "rke2")
UNITS = {
    "k3s": ("k3s.service", "k3s-agent.service"),
    "rke2": ("rke2-server.service", "rke2-agent.service"),
}
PROCESSES = ("k3s", "k3s-server", "k3s-agent", "rke2")
LIMIT = 128 << 10
NOT_PLAIN = b"? not plain\n"
"""Stands for a file that cannot be cut down safely."""

_KEYS = frozenset({"kubelet-arg", "kubelet-arg+"})
_FLAG = "--kubelet-arg"
_CONFIG_FLAGS = ("--config", "-config", "-c", "--c")
_COMMANDS = frozenset({"server", "agent"})
_CONFIG_NAMES = ("K3S_CONFIG_FILE", "RKE2_CONFIG_FILE")
_NAMES = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+")


def config(product: str) -> str:
    """The file; its drop-ins are in a folder of its name and `.d`."""
    return f"/etc/rancher/{product}/config.yaml"


def agent(product: str) -> str:
    """The folder in which it keeps what it made for kubelet and containerd."""
    return f"/var/lib/rancher/{product}/agent/etc"


def excerpt(path: str, raw: bytes) -> bytes | None:
    """What may be kept of a file with a token in it; None for any other file."""
    for product in PRODUCTS:
        own = config(product)
        if path == own or path.startswith(f"{own}.d/"):
            return config_excerpt(raw)
        if any(f"/{unit}" in path for unit in UNITS[product]):
            return unit_excerpt(raw.decode(errors="surrogateescape")).encode(
                errors="surrogateescape"
            )
    return None


def config_excerpt(raw: bytes) -> bytes:
    """The lines of `kubelet-arg` and `kubelet-arg+` at the top of a plain block mapping."""
    if len(raw) > LIMIT:
        return NOT_PLAIN
    kept: list[bytes] = []
    key, begun = "", False
    for line in map(bytes.rstrip, raw.split(b"\n")):
        if line.startswith((b"---", b"...")):
            if begun or line != b"---":
                break
            begun = True
        elif not line or line.lstrip().startswith(b"#"):
            # Where a text goes on over lines, an empty one and a comment mean something.
            kept += [b"#" if line else b""] if key in _KEYS else []
        else:
            begins = line[:1] not in {b" ", b"\t", b"-"}
            key = _key(line) if begins else key
            if not key or (key in _KEYS and _is_odd(line, begins=begins)):
                return NOT_PLAIN
            kept += [line] if key in _KEYS else []
            begun = True
    text = b"\n".join(kept).rstrip(b"\n")
    return text + b"\n" if text else b""


def _is_odd(line: bytes, *, begins: bool) -> bool:
    """A text of many lines, or what may be a key of another mapping below a list."""
    if any(line.count(each) % 2 for each in (b'"', b"'")) or line.count(b"[") != line.count(b"]"):
        return True
    text = line.rstrip(b"+-0123456789").endswith((b"|", b">"))
    return text or (not begins and (b": " in line or line.endswith(b":")))


def _key(line: bytes) -> str:
    """`kubelet-arg: …` or `"kubelet-arg": …`; empty for what begins no plain entry."""
    name, colon, rest = line.decode(errors="replace").partition(":")
    name = name.strip()
    if name[:1] in {'"', "'"} and name[-1:] == name[:1]:
        name = name[1:-1]
    plain = colon and name and _NAMES.issuperset(name) and rest[:1] in {"", " ", "\t"}
    return name if plain else ""


def unit_excerpt(text: str) -> str:
    """A unit with nothing but what its command line gives the kubelet."""
    import shlex  # noqa: PLC0415 - only where one of them is

    lines = ["[Service]"]
    section = ""
    for line in f"{text}\n".replace("\\\n", " ").split("\n"):
        words = line.strip()
        section = words if words.startswith("[") else section
        key, equals, value = words.partition("=")
        if not equals or section != "[Service]" or words.startswith(("#", ";")):
            continue
        try:
            if key.strip() == "ExecStart":
                lines.append(f"ExecStart={shlex.join(given(shlex.split(value)))}")
            elif key.strip() == "Environment":
                named = [each for each in shlex.split(value) if each.startswith(_CONFIG_NAMES)]
                lines += [f"Environment={shlex.join(named)}"] if named else []
        except ValueError:
            lines.append("ExecStart='")  # no more than that it cannot be split
    return "\n".join(lines) + "\n"


def given(words: Sequence[str]) -> list[str]:
    """Of a command line: the program, its command, and the flags that count here."""
    command = [word for word in words[1:] if word in _COMMANDS][:1]
    return [*words[:1], *command, *(f"{name}={value}" for name, value in flags(words))]


def flags(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`--kubelet-arg=VALUE`, `--kubelet-arg VALUE`, and those that name the configuration."""
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == _FLAG or name in _CONFIG_FLAGS:
            yield (
                _FLAG if name == _FLAG else "--config",
                value if equals else ("".join(words[number + 1 : number + 2])),
            )
