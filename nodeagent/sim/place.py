"""A modelled device as the kernel has it."""

from dataclasses import dataclass, field

from nodeagent.sim.device import Device

METHODS = ("flr", "bus")
"""How the kernel can reset one of these, in its order."""


@dataclass(slots=True)
class Place:
    """`idles`: left alone it goes to D3, as under vfio-pci. `methods`: those of its resets."""

    device: Device
    group: int
    driver: str | None = "vfio-pci"
    override: str = "vfio-pci"
    control: str = "auto"
    idles: bool = True
    holders: dict[int, str] = field(default_factory=dict)
    """Processes that have its group open, by pid."""
    removed: bool = False
    methods: tuple[str, ...] = METHODS
    vfio: int | None = None
    """The number of its own node, /dev/vfio/devices/vfioN, while vfio has it."""

    def rest(self) -> None:
        """Runtime power management: awake while held or forbidden to sleep."""
        bound_idle = self.driver is not None and "vfio" in self.driver and self.idles
        asleep = bound_idle and self.control == "auto" and not self.holders
        self.device.config.power_state = 3 if asleep else 0
