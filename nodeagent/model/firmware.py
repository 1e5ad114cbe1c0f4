"""What the security processor runs and what waits on the disk for it."""

from collections.abc import Mapping
from typing import NamedTuple

from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.words import Generation

_FMC_FIRST = frozenset({Generation.TURIN, Generation.VENICE})
_BOOT_LOADER_FIRST = frozenset({Generation.MILAN, Generation.GENOA, Generation.BERGAMO_SIENA})


class PspDevice(NamedTuple):
    """One device of the ccp driver. An attribute that the kernel hides is not in `attributes`."""

    bdf: str
    attributes: Mapping[str, Seen[str]]


class Firmware(NamedTuple):
    """`files`: SEV firmware for this CPU, in the order in which the driver would take one.

    `image` is the version of the first: API and build. None where it does not tell one.
    """

    psps: Seen[tuple[PspDevice, ...]]
    files: Seen[tuple[str, ...]]
    image: Seen[tuple[int, int, int]] = None

    @property
    def master(self) -> Seen[PspDevice]:
        """The lowest device that says anything: other functions have the driver too (§4.5)."""
        if self.psps is None or isinstance(self.psps, Unreadable):
            return self.psps
        return next((each for each in self.psps if each.attributes), None)


class Tcb(NamedTuple):
    """A TCB_VERSION taken apart (snp-host.md §4.3). `fmc` exists from Turin on."""

    fmc: int | None
    boot_loader: int
    tee: int
    snp: int
    microcode: int

    def __str__(self) -> str:
        first = f"FMC {self.fmc}, " if self.fmc is not None else ""
        return (
            f"{first}boot loader {self.boot_loader}, TEE {self.tee}, "
            f"SNP {self.snp}, microcode {self.microcode}"
        )


def decode_tcb(raw: int, generation: Generation | None) -> Tcb | None:
    """None where the layout is not known, or where bytes that must be zero are not.

    A value read by the wrong generation's layout looks like an old or a very new one; that
    has happened, so a non-zero reserved byte is taken for a layout that we do not know.
    """
    byte = raw.to_bytes(8, "little")
    if generation in _BOOT_LOADER_FIRST and not any(byte[2:6]):
        return Tcb(None, byte[0], byte[1], byte[6], byte[7])
    if generation in _FMC_FIRST and not any(byte[4:7]):
        return Tcb(byte[0], byte[1], byte[2], byte[3], byte[7])
    return None
