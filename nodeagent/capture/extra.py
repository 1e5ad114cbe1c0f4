"""What a capture holds beyond what this version judges: for questions that come later."""

from nodeagent.seams import Files, Machine, Probes

# All small, none with a serial number; /proc/interrupts and the like move all the time and stay.
_FILES = (
    "/etc/os-release",
    "/proc/modules",
    "/proc/version",
    "/proc/sys/fs/inotify/max_user_instances",
    "/proc/sys/fs/inotify/max_user_watches",
    "/sys/devices/system/cpu/possible",
    "/sys/devices/system/cpu/offline",
    "/sys/devices/system/cpu/smt/active",
    "/sys/devices/system/node/online",
    "/sys/firmware/acpi/pm_profile",
    "/sys/firmware/efi/fw_platform_size",
    "/sys/fs/cgroup/misc.current",
)
_DEVICES, _NVIDIA = "/sys/bus/pci/devices", "0x10de"
_IOMEM = "/proc/iomem"  # to others than root it shows zeros, which are worth nothing
_IOMEM_LIMIT = 1 << 20
_MODULES = (
    *("ccp", "iommufd", "kvm", "kvm_amd", "nvidia", "vfio", "vfio_iommu_type1", "vfio_pci"),
    "vfio_pci_core",
)
_LEAVES = (
    *(0x0, 0x1, 0x80000000, 0x80000001, 0x80000002, 0x80000003, 0x80000004, 0x80000008),
    *(0x8000001F, 0x80000021, 0x80000025),
)
"""Vendor, family and name, address sizes, SEV, and the segmented RMP (snp-host.md §1.2)."""


def ask(machine: Machine) -> None:
    """Ask a recorder's machine these; it remembers the answers."""
    for path in _FILES:
        machine.files.read_bytes(path, 1 << 18)
    if machine.source.root:
        machine.files.read_bytes(_IOMEM, _IOMEM_LIMIT)
    for module in _MODULES:
        _parameters(machine.files, module)
    _switching(machine.files)
    _leaves(machine.probes)


def _switching(files: Files) -> None:
    """What a plan to switch NVIDIA's devices goes by, beside what a check looks at."""
    names = files.names(_DEVICES)
    for bdf in names if isinstance(names, tuple) else ():
        if files.read(f"{_DEVICES}/{bdf}/vendor", 64) == _NVIDIA:
            files.names(f"{_DEVICES}/{bdf}/drm")
            for name in ("power/control", "reset_method"):
                files.read_bytes(f"{_DEVICES}/{bdf}/{name}", 256)


def _parameters(files: Files, module: str) -> None:
    folder = f"/sys/module/{module}/parameters"
    if files.has(f"/sys/module/{module}") is not True:
        return
    names = files.names(folder)
    for name in names if isinstance(names, tuple) else ():
        files.read_bytes(f"{folder}/{name}", 256)


def _leaves(probes: Probes) -> None:
    """Beyond the highest leaf another one's answer is repeated, so it is not asked for."""
    highest = {start: probes.cpuid(start) for start in (0x0, 0x80000000)}
    for leaf in _LEAVES:
        top = highest[leaf & 0x80000000]
        if isinstance(top, tuple) and leaf <= top.eax:
            probes.cpuid(leaf)
