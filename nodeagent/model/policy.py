"""What a site demands beyond a host that works."""

from typing import NamedTuple

from nodeagent.model.codes import Code
from nodeagent.model.words import Generation, Level

TCB_SNP = "tcb.snp"
TCB_MICROCODE = "tcb.microcode"
MICROCODE = "microcode"
SEV = "sev"
ALIAS_CHECK = "alias-check"
BIOS = "bios"
GPU_VBIOS = "gpu.vbios"
GPU_FSP = "gpu.fsp"
OF_CPU = (TCB_SNP, TCB_MICROCODE, MICROCODE, SEV, ALIAS_CHECK)
OF_GPU = (GPU_VBIOS, GPU_FSP)
MEASURES = (*OF_CPU, BIOS, *OF_GPU)
"""What a floor can be about; a word of the floors file."""

Version = tuple[int, ...]


class Floor(NamedTuple):
    """The least version that is good enough, who says so, and how sure that is.

    `minimum` compares with a version of the same measure. A CPU's floor names a generation, and
    where only some of its parts are meant, model and stepping; a BIOS floor the board, by the
    beginning of its name; a GPU's the chip.
    """

    id: str
    what: str
    minimum: Version
    source: str
    date: str
    confidence: str
    issue: str = ""
    generation: Generation | None = None
    model: int | None = None
    stepping: int | None = None
    board: str = ""
    chip: str = ""


class Accepted(NamedTuple):
    """A finding that the site lives with, through the day `until` (UTC, ISO 8601), and why."""

    code: Code
    until: str
    why: str


ACCEPTABLE = frozenset({Level.COMPLIANT, Level.RUNTIME})
"""Whose failures stop gating once they are accepted; what the other levels say is never waived."""


class Policy(NamedTuple):
    """`guest_bytes`: memory of the largest confidential guest, where it is configured.

    `accepted` by the site; `today` (ISO 8601) says which of it holds: none of it where it is empty.
    """

    require_floors: bool = False
    guest_bytes: int | None = None
    floors: tuple[Floor, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    today: str = ""

    def accepts(self, code: Code | None) -> Accepted | None:
        return next(
            (each for each in self.accepted if each.code is code and self.holds(each)), None
        )

    def holds(self, each: Accepted) -> bool:
        return bool(self.today) and self.today <= each.until


NO_POLICY = Policy()
