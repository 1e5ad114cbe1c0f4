"""What is asked of /dev/kvm, by the numbers of the kernel's headers."""

import ctypes
import errno
import fcntl
import os
import struct
from pathlib import Path

import pytest

from nodeagent.host import devices
from nodeagent.host.root import Root
from nodeagent.model.host import Kvm
from nodeagent.model.seen import Unreadable

# linux/kvm.h and x86's asm/kvm.h: KVM_X86_GRP_SEV has KVM_X86_SEV_VMSA_FEATURES and, from about
# 6.19 on, KVM_X86_SNP_POLICY_BITS.
SEV_GROUP, VMSA_FEATURES, POLICY_BITS = 1, 0, 1
VM_TYPES = 235


class _Kernel:
    """Answers as KVM does; what an older one does not know it refuses."""

    def __init__(self, attributes: dict[int, int], refuses: int = errno.ENXIO) -> None:
        self._attributes = attributes
        self._refuses = refuses

    def ioctl(self, _device: int, request: int, argument: int | bytes = 0) -> int:
        match request, argument:
            case 0xAE00, 0:
                return 12
            case 0xAE03, int():
                return 0x1F if argument == VM_TYPES else 0
            case 0x4018AEE2, bytes():
                self._attribute(*struct.unpack("<IIQQ", argument))
                return 0
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))

    def _attribute(self, flags: int, group: int, attribute: int, address: int) -> None:
        if (flags, group) != (0, SEV_GROUP) or attribute not in self._attributes:
            raise OSError(self._refuses, os.strerror(self._refuses))
        ctypes.c_uint64.from_address(address).value = self._attributes[attribute]


def _kvm(kernel: _Kernel, folder: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    (folder / "dev").mkdir()
    (folder / "dev/kvm").write_bytes(b"")
    monkeypatch.setattr(fcntl, "ioctl", kernel.ioctl)
    return devices.kvm(Root(str(folder)))


def test_each_number_is_asked_for_by_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = _Kernel({VMSA_FEATURES: 0x3F, POLICY_BITS: 0x3_0000})

    assert _kvm(kernel, tmp_path, monkeypatch) == Kvm(
        api=12, vm_types=0x1F, sev_vmsa_features=0x3F, policy_bits=0x3_0000
    )


def test_an_older_kernel_does_not_know_the_policy_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _kvm(_Kernel({VMSA_FEATURES: 0x3F}), tmp_path, monkeypatch) == Kvm(
        api=12, vm_types=0x1F, sev_vmsa_features=0x3F, policy_bits=None
    )


def test_a_refusal_for_another_reason_is_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _kvm(_Kernel({VMSA_FEATURES: 0x3F}, errno.EPERM), tmp_path, monkeypatch)

    assert isinstance(found, Kvm)
    assert isinstance(found.policy_bits, Unreadable)
