"""What a site demands beyond a host that works."""

from typing import NamedTuple

from nodeagent.model.words import Generation

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


class Policy(NamedTuple):
    """`guest_bytes`: memory of the largest confidential guest, where it is configured."""

    require_floors: bool = False
    guest_bytes: int | None = None
    floors: tuple[Floor, ...] = ()


NO_POLICY = Policy()
