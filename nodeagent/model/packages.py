"""Debian's package database, found by plain search: it may have 10 MB."""

STATUS = "/var/lib/dpkg/status"
RPM = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
KUBELET = ("kubelet",)
CONTAINERD = ("containerd.io", "containerd")
KATA = ("kata-containers", "kata-runtime")
QEMU = ("qemu-system-x86",)
_ENTRY_LIMIT = 4096


def excerpt(raw: bytes) -> bytes:
    """The entries of the packages that are asked about here, and of no other."""
    names = (*KUBELET, *CONTAINERD, *KATA, *QEMU)
    return b"\n".join(found + b"\n" for name in names if (found := _entry(raw, name)))


def version(raw: bytes, names: tuple[str, ...]) -> str | None:
    """Of the first of these packages that is installed."""
    return next((found for name in names if (found := _version(_entry(raw, name)))), None)


def _entry(raw: bytes, name: str) -> bytes:
    head = f"Package: {name}\n".encode()
    start = 0 if raw.startswith(head) else raw.find(b"\n" + head) + 1
    if not raw.startswith(head, start):
        return b""
    return raw[start : start + _ENTRY_LIMIT].partition(b"\n\n")[0].rstrip(b"\n")


def _version(entry: bytes) -> str | None:
    lines = (line.partition(b": ") for line in entry.split(b"\n"))
    fields = {name: value for name, colon, value in lines if colon}
    if not fields.get(b"Status", b"").endswith(b" installed"):
        return None
    return fields.get(b"Version", b"").decode(errors="replace")[:64] or None
