"""Whose board the host is, as its SMBIOS table names it: remedies speak that vendor's language.

Product names and BIOS versions are those of the reports that the faults on them come from
(snp-host.md §2.2); where a report names none they are made up.
"""

from tests.hosts.draft import Delta, Draft


def _board(vendor: str, product: str, board: str, bios: tuple[str, str, str]) -> Delta:
    """`bios`: who made it, its version, its date."""

    def delta(draft: Draft) -> None:
        draft.dmi(
            sys_vendor=vendor,
            product_name=product,
            board_vendor=vendor,
            board_name=board,
            bios_vendor=bios[0],
            bios_version=bios[1],
            bios_date=bios[2],
        )

    return delta


_AMI = "American Megatrends International, LLC."
_DELL = "Dell Inc."

dell_r7525 = _board(_DELL, "PowerEdge R7525", "0PYVT1", (_DELL, "2.15.2", "05/20/2024"))
dell_r6515 = _board(_DELL, "PowerEdge R6515", "0R4CNN", (_DELL, "2.2.4", "04/12/2021"))
h12ssw = _board("Supermicro", "Super Server", "H12SSW-NTR", (_AMI, "2.3", "10/20/2021"))
h13dsg = _board("Supermicro", "AS -8125GS-TNHR", "H13DSG-O-CPU", (_AMI, "3.2", "09/09/2024"))
h14dsg = _board("Supermicro", "AS -A126GS-TNBR", "H14DSG-OD", (_AMI, "1.4", "05/14/2025"))
hpe_dl325 = _board(
    "HPE",
    "ProLiant DL325 Gen10 Plus v2",
    "ProLiant DL325 Gen10 Plus v2",
    ("HPE", "A43", "02/22/2024"),
)
lenovo_sr675 = _board("Lenovo", "ThinkSystem SR675 V3", "SB27A90000", ("Lenovo", "KAE1", "2024"))
gigabyte_g493 = _board(
    "Giga Computing", "G493-ZB2-AAP1-000", "MZB2-G40-000", ("GIGABYTE", "R14_F25", "02/02/2024")
)
asus_k14pp = _board("ASUSTeK COMPUTER INC.", "RS720A-E12-RS12", "K14PP-D24", (_AMI, "1403", "2024"))
amazon = _board("Amazon EC2", "m6a.2xlarge", "Not Specified", ("Amazon EC2", "1.0", "10/16/2017"))
xeon = _board(_DELL, "PowerEdge R760xa", "0VDCT5", (_DELL, "2.3.5", "10/02/2024"))
grace = _board("Supermicro", "ARS-111GL-NHR", "G1SMH-G", (_AMI, "2.0", "06/26/2024"))
