"""How a GPU can be plugged in badly, on a host whose CPU side is ready."""

from tests.hosts import pci
from tests.hosts.draft import GPU, Draft

PORT = "0000:40:01.1"
_ACS_CONTROL = 0x106


def acs_off(draft: Draft) -> None:
    """The port could redirect and does not; it has one device, so the group holds all the same."""
    pci.poke(draft, PORT, _ACS_CONTROL, bytes(2))


def acs_none(draft: Draft) -> None:
    """A port whose extended list is empty."""
    pci.poke(draft, PORT, 0x100, bytes(8))


def window_too_small(draft: Draft) -> None:
    """The BIOS gave the port 512 MiB; the kernel kept the size of what it could not place."""
    bar0, bar2, bar4 = pci.GPU_BARS
    moved = (bar0, pci.Bar(2, 0, bar2.size, bar2.flags), bar4)
    draft.put(f"{pci.home(draft, GPU)}/resource", pci.resource(moved))
    pci.poke(draft, GPU, 0x10 + 4 * 2, (0xC).to_bytes(8, "little"))
    start = bar4.start & ~(pci.GIB - 1)
    pci.set_window(draft, PORT, 15, start, start + 512 * pci.MIB - 1)


def outside_window(draft: Draft) -> None:
    """The port lets through all of the large BAR but its last half."""
    start, end = pci.windows(draft.files[f"{pci.home(draft, PORT)}/config"])[15]
    pci.set_window(draft, PORT, 15, start, end - 65 * pci.GIB)


def narrow(draft: Draft) -> None:
    """Eight of sixteen lanes trained."""
    pci.train(draft, GPU, pci.Link(8, 5, 16, 5))
    pci.train(draft, PORT, pci.Link(8, 5, 16, 5))


def slow_at_idle(draft: Draft) -> None:
    """What an idle GPU does to save power: no fault."""
    pci.train(draft, GPU, pci.Link(16, 1, 16, 5))
    pci.train(draft, PORT, pci.Link(16, 1, 16, 5))


def no_iommufd(draft: Draft) -> None:
    """The older way alone: the container node, and no module iommufd."""
    draft.remove("/dev/iommu")
    draft.remove("/sys/module/iommufd")
    modules = draft.text("/proc/modules") or ""
    kept = [line for line in modules.split("\n") if not line.startswith("iommufd ")]
    draft.put("/proc/modules", "\n".join(kept))


def may_lose_power(draft: Draft) -> None:
    """Awake now; the next time that nobody uses it it goes to D3cold."""
    draft.param("vfio_pci", "disable_idle_d3", "N")
    draft.put("/etc/modprobe.d/vfio.conf", "options vfio-pci ids=10de:2331")


def virtual(draft: Draft) -> None:
    draft.gpu[GPU][0x4] = 0x00020000
