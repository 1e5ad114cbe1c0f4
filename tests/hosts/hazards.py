"""What works today and bites later, and kernels that were built without what is needed."""

from tests.hosts import pci
from tests.hosts.draft import GPU, Delta, Draft
from tests.hosts.snp_faults import kvm_amd_missing


def asks(*words: str) -> Delta:
    """Words on the kernel command line, in this order."""
    return lambda draft: draft.cmdline.extend(words)


def modprobe(name: str, text: str) -> Delta:
    return lambda draft: draft.put(f"/etc/modprobe.d/{name}.conf", text)


def built_without(*options: str) -> Delta:
    """The kernel's configuration only; what follows from it is another delta."""

    def delta(draft: Draft) -> None:
        lines = (draft.text("/boot/config") or "").split("\n")
        kept = [line for line in lines if not line.startswith(options)]
        kept += [f"# {option} is not set" for option in options]
        draft.put("/boot/config", "\n".join(kept))

    return delta


def kvm_not_built(draft: Draft) -> None:
    kvm_amd_missing(draft)
    built_without("CONFIG_KVM_AMD")(draft)


def vfio_not_built(draft: Draft) -> None:
    pci.unbind(draft, GPU)
    for path in (f"{pci.home(draft, GPU)}/vfio-dev", "/dev/vfio", "/sys/module/vfio_pci"):
        draft.remove(path)
    built_without("CONFIG_VFIO_PCI")(draft)
