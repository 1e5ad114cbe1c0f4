"""Reads the kernel: version, configuration, command line, modules and their options."""

import zlib
from collections.abc import Iterator, Mapping

from nodeagent.facts.parse import number, parsed
from nodeagent.model.host import Kernel, ModuleOption, Uname
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files, Machine

_CONFIG_LIMIT = 4 << 20
_ZONEINFO_LIMIT = 8 << 20
_MODPROBE_FOLDERS = (
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
)
_MAX_CONF_FILES = 256
_LINE_SHOWN = 256  # each option carries its line, and one line may hold many
_MODULES = ("kvm_amd", "kvm", "ccp", "vfio_pci", "nvidia", "nouveau")
_PARAMETERS = {
    "kvm_amd": ("sev", "sev_es", "sev_snp", "npt", "lbrv"),
    "kvm": ("mmio_caching",),
    "vfio_pci": ("disable_idle_d3",),
}
_MISC = ("/sys/fs/cgroup/misc", "/sys/fs/cgroup/misc/misc")
_MAX_KERNELS = 64
_LOCKDOWN = "/sys/kernel/security/lockdown"


def read(machine: Machine) -> Kernel:
    files = machine.files
    uname = machine.probes.uname()
    release = uname.release if isinstance(uname, Uname) else uname
    options, options_closed = _options(files)
    loaded: dict[str, Seen[bool]] = {
        module: files.has(f"/sys/module/{module}") for module in _MODULES
    }
    return Kernel(
        release=release,
        config=_config(files, release),
        cmdline=parsed("/proc/cmdline", files.read("/proc/cmdline", 1 << 16), tokens),
        options=options,
        options_closed=options_closed,
        loaded=loaded,
        parameters=dict(_parameters(files, loaded)),
        takes={
            module: files.names(f"/sys/module/{module}/parameters")
            for module in _PARAMETERS
            if loaded[module] is True
        },
        misc_capacity=_misc(files, "capacity"),
        misc_current=_misc(files, "current"),
        installed=_installed(files),
        max_pfn=parsed("/proc/zoneinfo", files.read("/proc/zoneinfo", _ZONEINFO_LIMIT), max_pfn),
        efi=files.has("/sys/firmware/efi"),
        lockdown=read_lockdown(files),
        kvm=machine.probes.kvm(),
    )


def tokens(text: str) -> tuple[str, ...]:
    """Command line words; a quoted value may hold blanks (kernel/params.c)."""
    words, word, quoted = [], "", False
    for char in text:
        if char == '"':
            quoted = not quoted
        elif char.isspace() and not quoted:
            words.append(word)
            word = ""
        else:
            word += char
    return tuple(word for word in [*words, word] if word)


def _parameters(files: Files, loaded: Mapping[str, Seen[bool]]) -> Iterator[tuple[str, Seen[str]]]:
    """Only of loaded modules: below a folder that is not there nothing can be absent."""
    for module, names in _PARAMETERS.items():
        state = loaded[module]
        for name in names:
            path = f"/sys/module/{module}/parameters/{name}"
            if state is True:
                yield f"{module}.{name}", files.read(path, 64)
            else:
                yield f"{module}.{name}", state if isinstance(state, Unreadable) else None


def _config(files: Files, release: Seen[str]) -> Seen[Mapping[str, str]]:
    """The running kernel's options, from the first of three places that has them."""
    gap: Unreadable | None = None
    packed = files.read_bytes("/proc/config.gz", _CONFIG_LIMIT)
    if isinstance(packed, bytes):
        return parsed("/proc/config.gz", config_gz(packed), config)
    if not isinstance(release, str) or "/" in release:
        return release if isinstance(release, Unreadable) else packed
    for path in (f"/boot/config-{release}", f"/lib/modules/{release}/config"):
        text = files.read(path, _CONFIG_LIMIT)
        if isinstance(text, str):
            return parsed(path, text, config)
        gap = gap or text
    return gap


def config_gz(packed: bytes) -> str:
    """Bounded, whatever the stranger's file claims to unpack to."""
    try:
        return zlib.decompressobj(31).decompress(packed, _CONFIG_LIMIT).decode(errors="replace")
    except zlib.error:
        return ""


def config(text: str) -> Mapping[str, str]:
    """`CONFIG_X=y` lines; a text without one is no configuration."""
    options = dict(
        line.split("=", 1)
        for line in text.split("\n")
        if line.startswith("CONFIG_") and "=" in line
    )
    if not options:
        raise ValueError(text)
    return options


def _options(files: Files) -> tuple[tuple[ModuleOption, ...], Unreadable | None]:
    """`options` lines of modprobe.d, and what of it could not be read.

    A file of the same name in an earlier folder wins.
    """
    found: dict[str, list[ModuleOption]] = {}
    gap: Unreadable | None = None
    for folder in _MODPROBE_FOLDERS:
        names = files.names(folder)
        if isinstance(names, Unreadable):
            gap = gap or names
            continue
        for name in sorted(name for name in names or () if name.endswith(".conf"))[
            :_MAX_CONF_FILES
        ]:
            path = f"{folder}/{name}"
            text = files.read(path)
            if isinstance(text, str) and name not in found:
                found[name] = list(_option_lines(path, text))
            elif isinstance(text, Unreadable):
                gap = gap or text
    options = tuple(option for name in sorted(found) for option in found[name])
    return options, gap


def _option_lines(path: str, text: str) -> Iterator[ModuleOption]:
    for line in text.replace("\\\n", " ").split("\n"):
        words = line.split()
        if len(words) < 3 or words[0] != "options":
            continue
        module = words[1].replace("-", "_")
        for word in words[2:]:
            name, _, value = word.partition("=")
            yield ModuleOption(
                module, name.replace("-", "_"), value, path, line.strip()[:_LINE_SHOWN]
            )


def _installed(files: Files) -> Seen[tuple[str, ...]]:
    """Releases of the kernels in /boot; of those beside their modules where it has none.

    A folder of modules alone proves nothing: removed kernels leave theirs behind.
    """
    boot = files.names("/boot")
    if isinstance(boot, tuple):
        named = [name.removeprefix("vmlinuz-") for name in boot if name.startswith("vmlinuz-")]
        if named:
            return tuple(named[:_MAX_KERNELS])
    modules = files.names("/lib/modules")
    if not isinstance(modules, tuple):
        return boot if isinstance(boot, Unreadable) else modules
    return tuple(
        name for name in modules[:_MAX_KERNELS] if files.has(f"/lib/modules/{name}/vmlinuz") is True
    )


def _misc(files: Files, name: str) -> Seen[Mapping[str, int]]:
    """The root cgroup's, v2 or v1; a container's own view does not have it."""
    gap: Unreadable | None = None
    for path in (f"{folder}.{name}" for folder in _MISC):
        found = parsed(path, files.read(path, 1 << 14), _capacities)
        if found is not None and not isinstance(found, Unreadable):
            return found
        gap = gap or found
    return gap


def _capacities(text: str) -> Mapping[str, int]:
    pairs = [line.split() for line in text.split("\n") if line.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(text)
    return {name: number(value) for name, value in pairs if value != "max"}


def max_pfn(text: str) -> int:
    """The first page frame above all memory: the largest start_pfn + spanned of a zone.

    Zone Device is memory on devices (DAX, peer-to-peer DMA), which the kernel's own max_pfn
    leaves out (mm/memremap.c).
    """
    highest, spanned, on_device = 0, 0, False
    for line in text.split("\n"):
        words = line.split()
        if words[:1] == ["Node"]:
            on_device, spanned = words[-1] == "Device", 0
        if len(words) != 2 or on_device:
            continue
        if words[0] == "spanned":
            spanned = number(words[1])
        elif words[0] == "start_pfn:" and spanned:
            highest = max(highest, number(words[1]) + spanned)
    if not highest:
        raise ValueError(text)
    return highest


def read_lockdown(files: Files) -> Seen[str]:
    return parsed(_LOCKDOWN, files.read(_LOCKDOWN, 128), lockdown)


def lockdown(text: str) -> str:
    """The chosen one of `[none] integrity confidentiality`."""
    _, opened, rest = text.partition("[")
    chosen, closed, _ = rest.partition("]")
    if not (opened and closed and chosen):
        raise ValueError(text)
    return chosen
