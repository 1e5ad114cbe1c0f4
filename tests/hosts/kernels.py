"""Other kernels under the same host, before anything is wrong with it."""

from tests.hosts.draft import Draft

# An INIT failure as the PSP driver words it: {error} as the kernel's %#x prints it.
SNP_INIT_OLD = "ccp 0000:01:00.5: SEV-SNP: failed to INIT rc -5, error {error}"
SNP_INIT_NEW = "ccp 0000:01:00.5: SEV-SNP: SNP_INIT_EX failed rc -5, error {error}"
SEV_INIT_OLD = "ccp 0000:01:00.5: SEV: failed to INIT error {error}, rc -5"
SEV_INIT_NEW = "ccp 0000:01:00.5: SEV: INIT failed {error}, rc -5"


def kernel_6_8(draft: Draft) -> None:
    """Ubuntu 24.04: no host SNP at all, so nothing in it knows the RMP."""
    _kernel(draft, "6.8.0-85-generic", "#85-Ubuntu SMP PREEMPT_DYNAMIC")


def kernel_6_11(draft: Draft) -> None:
    _kernel(draft, "6.11.0-29-generic", "#29-Ubuntu SMP PREEMPT_DYNAMIC")


def kernel_6_12(draft: Draft) -> None:
    """Debian 13."""
    _kernel(draft, "6.12.48+deb13-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1")


def kernel_6_16(draft: Draft) -> None:
    """About the first whose `Y` is proof."""
    _kernel(draft, "6.16.12-061612-generic", "#202510120915 SMP PREEMPT_DYNAMIC")


def kernel_6_18(draft: Draft) -> None:
    _kernel(draft, "6.18.3-061803-generic", "#202601080915 SMP PREEMPT_DYNAMIC")


def kernel_6_19(draft: Draft) -> None:
    _kernel(draft, "6.19.4-061904-generic", "#202602270915 SMP PREEMPT_DYNAMIC")


def kernel_7_1(draft: Draft) -> None:
    _kernel(draft, "7.1.0-9-generic", "#9-Ubuntu SMP PREEMPT_DYNAMIC")


def kernel_7_2(draft: Draft) -> None:
    _kernel(draft, "7.2.1-070201-generic", "#202609020915 SMP PREEMPT_DYNAMIC")


def kernel_7_3(draft: Draft) -> None:
    """Newer than all that is known of kernels here."""
    _kernel(draft, "7.3.0-070300-generic", "#202611150915 SMP PREEMPT_DYNAMIC")


def rhel_9(draft: Draft) -> None:
    """5.14 by its number, with host SNP carried back into it: only the parameter can say so."""
    _kernel(draft, "5.14.0-503.11.1.el9_5.x86_64", "#1 SMP PREEMPT_DYNAMIC")
    draft.put("/etc/os-release", 'ID="rhel"\nVERSION_ID="9.5"\nPRETTY_NAME="RHEL 9.5"')


def _kernel(draft: Draft, release: str, build: str) -> None:
    draft.release = release
    draft.build = build
