"""What can be wrong with a modelled device; each may be set and taken back at any time."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Faults:
    """`lost`: nothing answers. `answer_code`: every question to the FSP fails with it.

    `lost_answers` counts down, one for each answer that never comes. `security` is the cause
    in configuration space, with BOOT_0 locked: only power cures it. `boots_late_s` is added to
    every boot. `wedged`: registers are bus errors until a bus reset. `stale`: they are all ones
    until the device is removed after a bus reset, and found again. `bad_registers`: these read
    as bus errors. `not_capable`: a fuse of a Hopper's forbids CC.
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
    wedged: bool = False
    stale: bool = False
    bad_registers: set[int] = field(default_factory=set)
    not_capable: bool = False


def set_fault(faults: Faults, name: str, value: object) -> None:
    """Set one by its name, or take it back; ValueError where it has no such name or value."""
    if name not in Faults.__dataclass_fields__:
        known = ", ".join(Faults.__dataclass_fields__)
        raise ValueError(f"no fault is called {name!r:.40}; there are {known}")
    if name == "bad_registers":
        if not isinstance(value, list) or not all(type(each) is int for each in value):
            raise ValueError("bad_registers is a list of offsets")
        faults.bad_registers = set(value)
    elif name == "boot0" and (value is None or type(value) is int):
        faults.boot0 = value
    elif type(value) is type(getattr(Faults(), name)):
        setattr(faults, name, value)
    else:
        raise ValueError(f"{name} cannot be {value!r:.40}")
