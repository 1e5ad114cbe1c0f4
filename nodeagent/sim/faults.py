"""What can be wrong with a modelled device; each may be set and taken back at any time."""

from dataclasses import dataclass


@dataclass(slots=True)
class Faults:
    """`lost`: nothing answers. `answer_code`: every question to the FSP fails with it.

    `lost_answers` counts down, one for each answer that never comes. `security` is the cause
    in configuration space, with BOOT_0 locked. `boots_late_s` is added to every boot.
    """

    lost: bool = False
    lost_answers: int = 0
    stuck_queue: bool = False
    answer_code: int = 0
    never_boots: bool = False
    boots_late_s: float = 0.0
    firewall_stays: bool = False
    security: int = 0
    recovery: bool = False
    no_ppcie: bool = False
    boot0: int | None = None
