"""What must be masked, what must survive, and that equal stays equal."""

import gzip
import json

import pytest

from nodeagent.capture.config_space import masked_config
from nodeagent.capture.mask import Mask
from nodeagent.errors import CaptureError

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"
BLOB = "q8Xf2LmPz0RtVw5YbN1cKd7HgJ3sAe9uQiTo4E6rBy8="
PEM = f"-----BEGIN RSA PRIVATE KEY-----\nMIIEow{BLOB}\nAQAB\n-----END RSA PRIVATE KEY-----"

MUST_GO = [
    # (a line of a host, what of it must not be left)
    ("IP-Config: eth0 address: 10.20.30.40", "10.20.30.40"),
    ("nfs: server 172.16.5.9 not responding, still trying", "172.16.5.9"),
    ("--node-ip=192.168.1.17", "192.168.1.17"),
    ("  clusterDNS: [10.96.0.10]", "10.96.0.10"),
    ("connection from 8.8.8.8 to 1.1.1.1", "1.1.1.1"),
    ("route 100.64.3.0/24", "100.64.3.0"),
    ("range 10.9.8.1-10.9.8.7", "10.9.8.1-"),
    (r'{"msg": "up\n10.44.3.2 ready"}', "10.44.3.2"),
    ("fe80::5054:ff:fe12:3456%eth0", "fe80::5054"),
    ("addr 2001:470:1f0b::2/64.", "2001:470"),
    ("[2a01:4f8:c0c:1234::1]:6443", "2a01:4f8"),
    ("gid fe80:0000:0000:0000:0c42:a103:00ab:1234", "0c42:a103"),
    ("mlx5_core 0000:42:00.0: MAC 5c:6f:69:aa:bb:01", "5c:6f:69"),
    ("BOOTIF=01-5c-6f-69-aa-bb-01", "5c-6f-69"),
    ("r8169 eth0: renamed from enx5c6f69aabb01", "5c6f69aabb01"),
    ("root=UUID=8c8f3b1e-5d0e-4f1a-9f0e-3a1b2c3d4e5f ro", "8c8f3b1e"),
    ("rd.luks.uuid=luks-8C8F3B1E-5D0E-4F1A-9F0E-3A1B2C3D4E5F", "8C8F3B1E"),
    ("rd.luks.name=8c8f3b1e-5d0e-4f1a-9f0e-3a1b2c3d4e5f=vaultdisk", "vaultdisk"),
    ("cryptdevice=/dev/sda2:vaultdisk root=/dev/mapper/vaultdisk", "vaultdisk"),
    ("root=PARTUUID=1f2e3d4c-02", "1f2e3d4c"),
    ("UUID=7A3B-19CF /boot/efi vfat", "7A3B-19CF"),
    ("root=/dev/mapper/acme--vg-root rd.lvm.lv=acme-vg/root", "acme"),
    ("root=/dev/disk/by-id/nvme-SAMSUNG_MZQL2_S64GNE0R123456-part2", "S64GNE0R123456"),
    ("usb 1-4: SerialNumber: 4C530001234567", "4C530001234567"),
    ("Serial Number: MZ7LH960HAJR00", "MZ7LH960HAJR00"),
    ("Dell: Service Tag: 8XKQ2Z3", "8XKQ2Z3"),
    ("virtio serial=DISK0042", "DISK0042"),
    ("nvme1: eui.0025388b91b2c3d4", "0025388b91b2c3d4"),
    ("mpt3sas_cm0: enclosure logical id(0x500605b0000272bf)", "500605b0000272bf"),
    ("iscsi_initiator=iqn.1993-08.org.debian:01:9b2f", "9b2f"),
    ("providerID: aws:///eu-west-1a/i-0abc1234def567890", "0abc1234def567890"),
    ("machine-id: 3f9a1c5be77d40d2a1b2c3d4e5f60718", "3f9a1c5be77d"),
    ("Loaded X.509 cert 'key: 5f3be77d40d2a1b2c3d4e5f607183f9a1c5b0011'", "5f3be77d40d2"),
    ("systemd[1]: Hostname set to <gpu-rack7-n3>.", "gpu-rack7-n3"),
    ("--hostname-override=gpu-rack7-n3.dc1.acme.com", "gpu-rack7-n3"),
    ("--hostname-override=gpu-rack7-n3.dc1.acme.com", "acme"),
    ("kubelet\0--hostname-override\0gpu-rack7-n3\0", "gpu-rack7-n3"),
    ("ip=10.0.0.7::10.0.0.1:255.255.255.0:gpu-rack7-n3:eth0:off", "gpu-rack7-n3"),
    ("systemd.hostname=gpu-rack7-n3", "gpu-rack7-n3"),
    ("Linux version 6.8.0 (jane@buildbox-3) (gcc 13) #1", "jane"),
    ("Linux version 6.8.0 (jane@buildbox-3) (gcc 13) #1", "buildbox"),
    ('Environment="HTTPS_PROXY=http://bob:hunter2@proxy.acme.com:3128"', "hunter2"),
    ('Environment="HTTPS_PROXY=http://bob:hunter2@proxy.acme.com:3128"', "bob"),
    ('Environment="HTTPS_PROXY=http://bob:hunter2@proxy.acme.com:3128"', "acme"),
    ("Environment=REGISTRY_TOKEN=tok-9f8e7d6c", "tok-9f8e7d6c"),
    ('Environment="DB_PASSWORD=correct horse battery" "X=1"', "horse"),
    ("Environment=AWS_SECRET_ACCESS_KEY=abcd/efgh+1234", "abcd/efgh"),
    ("Environment=BACKUP_KEY=k3y-v4lue", "k3y-v4lue"),
    ('  auth = "Ym9iOmh1bnRlcjI="', "Ym9iOmh1bnRlcjI"),
    ('  identitytoken = "9c1d2e3f"', "9c1d2e3f"),
    ('  username = "bob.smith"', "bob.smith"),
    ('"auths": {"r": {"auth": "Ym9iOmh1bnRlcjI="}}', "Ym9iOmh1bnRlcjI"),
    (r"{\"password\": \"hunter22\"}", "hunter22"),
    ("    client-key-data: LS0tLS1CRUdJTg==", "LS0tLS1CRUdJTg"),
    ("    token: abcdef.0123456789abcdef", "0123456789abcdef"),
    ("kubelet\0--token\0abcdef.0123456789abcdef\0", "abcdef.0123"),
    ("join --token abcdef.0123456789abcdef --v=2", "abcdef.0123"),
    ("Authorization: Bearer s3cr3t.t0k3n-value", "s3cr3t"),
    ("Authorization: Basic Ym9iOmh1bnRlcjI=", "Ym9iOmh1bnRlcjI"),
    (f"jwt {JWT} end", JWT),
    (f"x={BLOB}", BLOB),
    (PEM, BLOB),
    (PEM.replace("\n", "\\n"), BLOB),
    (PEM.partition("-----END")[0], BLOB),
    ("aws AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
    ("pat ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abcdef"),
    ("key nvapi-abcdefghijklmnopqrstuvwxyz", "nvapi-abc"),
    ("mail jane.doe@acme.com", "jane.doe"),
    ("mail jane.doe@acme.com", "acme"),
    ("/home/jane/.config", "jane"),
    ("cwd=/var/home/jane", "jane"),
    # Proxies as people write them.
    ("HTTPS_PROXY=bob:hunter2@proxy-9.acme.com:3128", "hunter2"),
    ("HTTPS_PROXY=bob:hunter2@proxy-9.acme.com:3128", "acme"),
    ("https_proxy = bob:hun/te@r2@proxy-9:3128", "te@r2"),
    ("http_proxy=proxy-9.acme.com:3128", "acme"),
    ("HTTPS_PROXY=http://bob:hun/ter2@proxy-9.acme.com:3128", "ter2"),
    ("HTTPS_PROXY=http://bob:hun@ter2@proxy-9.acme.com:3128", "ter2"),
    ("HTTPS_PROXY=http://bob:hun:ter2@proxy-9.acme.com:3128", "ter2"),
    ("HTTPS_PROXY=http://bob:hun@ter2@proxy-9.acme.com:3128", "proxy-9"),
    ("http://bob:a/b@c@proxy-9.acme.com/x", "proxy-9"),
    ("NO_PROXY=localhost,.acme.com,gpu-rack7,10.1.2.3,10.9.0.0/16,::1", "acme"),
    ("NO_PROXY=localhost,.acme.com,gpu-rack7,10.1.2.3,10.9.0.0/16,::1", "gpu-rack7"),
    ("no_proxy=10.1.2.3,10.9.0.0/16", "10.9.0"),
    ("no_proxy=*.acme.com,gpu-rack7:8443", "gpu-rack7"),
    # Quotes within, and other names.
    (r'password = "hun\"ter2"', "ter2"),
    (r'password = "hun\\"', "hun"),
    ("password = 'hun\"ter2'", "ter2"),
    ("password='hun\"ter2'", "hun"),
    ('password = """hun"ter2"""', "ter2"),
    (r'{"x": "{\"password\": \"hun ter2\"}"}', "ter2"),
    ('password=hun"ter2', "ter2"),
    ("password=hun'ter2 rw", "ter2"),
    ("password=hun,ter2", "ter2"),
    ("password=hun;ter2", "ter2"),
    ('"DB_PASSWORD=hun\'ter2" X=1', "ter2"),
    ('["--password=hunter2","--v=2"]', "hunter2"),
    ("pass=hunter2", "hunter2"),
    ("smtp_pass: hunter2", "hunter2"),
    ("passwd=hunter2 pwd=x", "hunter2"),
    ("api_key=hunter2x", "hunter2x"),
    ("apikey: hunter2x", "hunter2x"),
    # Serial numbers in passing.
    ("disk SN: S64GNE0R1234", "S64GNE0R1234"),
    ("disk SN S64GNE0R1234, 2 TB", "S64GNE0R1234"),
    ("GPU serial 1650123456789", "1650123456789"),
    ("serial# 1650123456789", "1650123456789"),
    ("serial_number(1650123456789)", "1650123456789"),
    ("serial_number( S64GNE0R1234)", "S64GNE0R1234"),
    ("serial number S64GNE0R1234", "S64GNE0R1234"),
    ("S/N S64GNE0R1234", "S64GNE0R1234"),
    # Disks, images and hosts that a machine boots from.
    ("rd.md.uuid=3aaa0122:29827cfa:5331ad66:ca767371", "29827cfa"),
    ("md: array 3AAA0122:29827CFA:5331AD66:CA767371", "29827CFA"),
    ("root=/dev/nfs nfsroot=filer-3.acme.com:/export/root,v3", "acme"),
    ("root=nfs:filer-3:/export", "filer-3"),
    ("inst.ks=nfs:filer-3:/ks.cfg", "filer-3"),
    ("inst.repo=nfs:nfsvers=4:filer-3:/repo", "filer-3"),
    ('sandbox_image = "reg.acme.com/pause:3.10"', "acme"),
    ('sandbox = "reg-5:5000/pause"', "reg-5"),
    ('[plugins.cri.registry.configs."reg.acme.com:5000".tls]', "acme"),
    ('[plugins.cri.registry.mirrors."reg.acme.com"]', "acme"),
    ("--pod-infra-container-image=reg.acme.com/pause", "acme"),
    # What a second review found.
    ("[Hardware Error]: PPIN: 0x02b5e0a1f3c4d5e6", "02b5e0a1"),
    ("mce: PPIN 2b5e0a1f3c4d5e6f SYND 0", "2b5e0a1f"),
    ("nfs: server filer09.acme.lan not responding", "filer09"),
    ("nfs: server filer09 not responding, timed out", "filer09"),
    ("IP-Config: host=bluewhale5, domain=acme.lan, nis-domain=(none)", "bluewhale5"),
    ("IP-Config: host=bluewhale5, domain=acme.lan, nis-domain=(none)", "acme"),
    (r"CIFS: Attempting to mount \\nas77.acme.lan\share", "nas77"),
    ("ds=nocloud;h=nodecloud42", "nodecloud42"),
    ("--tls-san=api.acme.lan --v=1", "acme"),
    ("--cluster-domain=acme.lan", "acme"),
    ("serial number: 0x0000000000001234", "1234"),
    ("DIMM serial number 0x80CE0219", "80CE0219"),
    ("Serial 'MT2114VS01234'", "MT2114VS01234"),
    ("libphy serial number 12345", "12345"),
    ("bootstrap token abcdef.0123456789abcdef", "0123456789abcdef"),
    ("hostkey=k3yk3yk3y", "k3yk3yk3y"),
    ("AGE-SECRET-KEY-1QQPQZRFR7ZZ2WCVPMC20Q3PXW", "QQPQZRFR7ZZ2"),
    ("the password is Tr0ub4dor3", "Tr0ub4dor3"),
    ("https://hooks.slack.com/services/T0AAAA/B0BBBB/abcdABCD1234efgh", "abcdABCD1234"),
    ("SAS Address(0x500605b00abcdef0)", "500605b00abcdef0"),
    ("SAS addr 500605b00abcdef0", "500605b00abcdef0"),
    ("rd.iscsi.username=alice99 rd.iscsi.in.username=bob99", "bob99"),
    ('audit: acct="kmorris" exe', "kmorris"),
    ("sudo:   alicew : TTY=pts/0", "alicew"),
    ("root=LABEL=acme-root ro", "acme"),
    ("BTRFS: device label acme-pay-prod devid 1", "acme"),
    ("ip=10.0.0.7:srv7:10.0.0.1:255.255.255.0:node9:eth0:off", "srv7"),
    # Hardware addresses in other clothes.
    ("ether 5c6f69aabb01", "5c6f69aabb01"),
    ("MAC address: 5C6F69AABB01", "5C6F69AABB01"),
    ("BOOTIF=01-5c6f69aabb01", "5c6f69aabb01"),
    ("port 5c6f.69aa.bb01 learnt", "69aa"),
]

MUST_STAY = [
    "ccp 0000:01:00.5: SEV firmware updated from 1.55.37.2 to 1.55.40.1",
    "BIOS version: 3.4.0.10",
    "firmware version 16.35.20.0",
    "VBIOS 96.00.74.00.11",
    "boot loader 00.2d.00.78",
    "NVRM: version 570.124.06",
    "Linux version 6.17.0-8-generic",
    "SEV-SNP: RMP table physical range [0x0000000015a00000 - 0x00000000962fffff]",
    "BIOS-e820: [mem 0x0000000100000000-0x000000807fffffff] usable",
    "AMD-Vi: Extended features (0x25bf732fa2295afe, 0x1d): PPR X2APIC NX GT [5] IA GA PC",
    "vfio_pci: add [10de:2331[ffffffff:ffffffff]] class 0x000000/00000000",
    "pci 0000:41:00.0: [10de:2331:10de:1626] type 00",
    "options vfio-pci ids=10de:2331,10de:22a3 disable_idle_d3=1",
    "00010000:41:00.0 and 41:00.0 and pci0000:40/0000:40:01.1",
    "rtc_cmos: setting system clock to 2026-11-20T09:30:00 UTC (1763630000)",
    "audit: type=2000 audit(1763630000.123:1): state=initialized",
    "kvm_amd: SEV enabled (ASIDs 100 - 1006)",
    "0-95,192-287",
    "28042000000-28042ffffff : 0000:41:00.0",
    "usb 1-4: New USB device strings: Mfr=1, Product=2, SerialNumber=3",
    "Serial: 8250/16550 driver, 32 ports, IRQ sharing enabled",
    "getty@tty1.service and user@1000.service",
    "listening on 127.0.0.1 and 0.0.0.0 and ::1, netmask 255.255.255.0",
    "authentication: {webhook: {enabled: true}}",
    "--authentication-token-webhook=true --authorization-mode=Webhook",
    "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
    "tokenRequests: []",
    "RuntimeClassInImageCriApi=true,DynamicResourceAllocation=false",
    "sandbox_image = registry.k8s.io/pause:3.10",
    "CONFIG_SYSTEM_TRUSTED_KEYS=y",
    'CONFIG_MODULE_SIG_KEY="certs/signing_key.pem"',
    "CONFIG_SECRETMEM=y",
    "Key type asymmetric registered",
    "clocksource: Switched to clocksource tsc-early",
    "/sys/devices/pci0000:40/0000:40:01.1/0000:41:00.0/iommu_group",
    "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
    "00000000,00000000,ffffffff,ffffffff",
    "0x0000028042000000 0x0000028042ffffff 0x000000000014220c",
    "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/thing",
    "root=LABEL=root ro quiet modprobe.blacklist=nouveau iommu=pt",
    "see https://www.kernel.org/doc/html/latest/ for details",
    "unix:///run/containerd/containerd.sock",
    "microcode: Current revision: 0x0a101154",
    "root=LABEL=root rootfstype=xfs rd.auto=1 ks=",
    "serial console at ttyS0, 115200 baud; usb-serial 1-2:1.0",
    "pass-through=1",
    "HTTPS_PROXY=",
    "CPU0: AMD EPYC 9654 96-Core Processor (family: 0x19, model: 0x11, stepping: 0x1)",
    "DMI: Supermicro AS -8125GS-TNHR/H13DSG-O-CPU, BIOS 1.8 03/21/2024",
]


@pytest.mark.parametrize(("line", "secret"), MUST_GO)
def test_what_names_somebody_goes(line: str, secret: str) -> None:
    assert secret in line
    assert secret not in Mask().text(line)


@pytest.mark.parametrize("line", MUST_STAY)
def test_what_a_judgement_rests_on_stays(line: str) -> None:
    assert Mask().text(line) == line


@pytest.mark.parametrize("line", [line for line, _ in MUST_GO])
def test_masking_what_is_masked_changes_nothing(line: str) -> None:
    once = Mask().text(line)
    again = Mask()

    assert again.text(once) == once
    assert again.counts


def test_equal_stays_equal_and_different_stays_different() -> None:
    mask = Mask()
    one, other, same = (
        mask.text(f"boot {uuid} at {address}")
        for uuid, address in [
            ("8c8f3b1e-5d0e-4f1a-9f0e-3a1b2c3d4e5f", "10.0.0.5"),
            ("11111111-5d0e-4f1a-9f0e-3a1b2c3d4e5f", "10.0.0.6"),
            ("8C8F3B1E-5D0E-4F1A-9F0E-3A1B2C3D4E5F", "10.0.0.5"),
        ]
    )

    assert one == same != other
    assert "8c8f3b1e5d0e4f1a9f0e3a1b2c3d4e5f" not in mask.text("8c8f3b1e5d0e4f1a9f0e3a1b2c3d4e5f")
    assert mask.text("8c8f3b1e5d0e4f1a9f0e3a1b2c3d4e5f") == one.split()[1].replace("-", "")
    assert mask.counts == {"network addresses": 2, "UUIDs": 2}


def test_what_one_line_gave_away_goes_from_every_other_line() -> None:
    mask = Mask()
    lines = [
        "found usb-4C530001234567-0:0 early",
        "usb 1-4: SerialNumber: 4C530001234567",
        "Hostname set to <gpu-rack7-n3>",
        "gpu-rack7-n3.dc1.acme.com answers",
    ]
    first = [mask.first(line) for line in lines]
    done = "\n".join(mask.finish(line) for line in first)

    assert "4C530001234567" not in done
    assert "gpu-rack7-n3" not in done


def test_a_host_called_as_the_kernel_calls_things_breaks_no_line() -> None:
    mask = Mask(["kvm"])

    assert mask.text("kvm_amd: SEV enabled") == "kvm_amd: SEV enabled"
    assert mask.text("Hostname set to <kvm>") != "Hostname set to <kvm>"


def test_the_host_name_is_known_from_outside_the_texts() -> None:
    mask = Mask(["gpu-rack7-n3.dc1.acme.com"])

    assert (
        mask.text("gpu-rack7-n3 kernel: hello dc1.acme.com")
        == "masked-host-1 kernel: hello example"
    )


def test_a_host_of_a_domain_that_is_known_loses_its_name_too() -> None:
    mask = Mask(["gpu-rack7-n3.dc1.acme.com"])

    said = mask.text("mount from filer03.dc1.acme.com and a.b.dc1.acme.com")

    assert said == "mount from masked-host-2.example and masked-host-3.example"


def test_a_packed_configuration_is_masked_inside() -> None:
    mask = Mask()
    packed = gzip.compress(b'CONFIG_X=y\nCONFIG_CMDLINE="ip=10.1.2.3"\n')

    text = gzip.decompress(mask.first_of_file("/proc/config.gz", packed)).decode()

    assert text == 'CONFIG_X=y\nCONFIG_CMDLINE="ip=192.0.2.1"\n'


def test_a_serial_number_leaves_configuration_space() -> None:
    config = bytearray(4096)
    config[0x06], config[0x34] = 0x10, 0x40
    config[0x40:0x48] = bytes([0x03, 0x00, 0x04, 0x80]) + b"SN12"
    config[0x100:0x104] = (0x0001 | 0x140 << 20).to_bytes(4, "little")
    config[0x140:0x144] = 0x0003.to_bytes(4, "little")
    config[0x144:0x14C] = b"\x01\x02\x03\xff\xfe\x69\x6f\x5c"
    mask = Mask()

    done = mask.first_of_file("/sys/devices/pci0000:40/0000:41:00.0/config", bytes(config))

    assert b"SN12" not in done
    assert done[0x144:0x14C] == (1).to_bytes(8, "little")
    assert done[:0x42] == config[:0x42]
    assert done[0x14C:] == config[0x14C:]
    assert mask.counts == {"device and machine ids": 1}


@pytest.mark.parametrize("size", [0, 1, 63, 64, 256, 257, 4095, 4096])
@pytest.mark.parametrize("fill", [0x00, 0x03, 0x40, 0x55, 0xFF])
def test_no_configuration_space_is_too_odd(size: int, fill: int) -> None:
    assert len(masked_config(bytes([fill]) * size, lambda _: 1)) == size


def test_a_version_of_four_numbers_is_no_address() -> None:
    mask = Mask()

    assert mask.first_of_file("/sys/x/bootloader_version", b"10.12.24.78\n") == b"10.12.24.78\n"
    assert mask.first_of_file("/sys/x/address", b"10.12.24.78\n") == b"192.0.2.1\n"


def test_a_gpus_unit_id_is_masked_and_no_other_register() -> None:
    mask = Mask()

    assert [mask.register(0x820344, 0x5C3A91E2), mask.register(0x820344, 0x5C3A91E2)] == [1, 1]
    assert mask.register(0x820348, 0x0B7D40C1) == 2
    assert mask.register(0x1182CC, 0x5C3A91E2) == 0x5C3A91E2


def test_more_secrets_than_can_be_watched_for_are_refused() -> None:
    mask = Mask()

    with pytest.raises(CaptureError, match="more than 1000 secrets"):
        mask.text("\n".join(f"TOKEN=secret{number}value" for number in range(2000)))


def test_bytes_that_are_no_text_survive() -> None:
    raw = bytes(range(256)) * 4

    assert Mask().first_of_file("/lib/firmware/amd/x.sbin", raw) == raw


def test_masked_json_is_json() -> None:
    config = {"auths": {"nvcr.io": {"auth": "Ym9iOmh1bnRlcjI=", "email": "a@acme.com"}}}

    masked = json.loads(Mask().text(json.dumps(config)))

    assert list(masked["auths"]) == ["nvcr.io"]
    assert masked["auths"]["nvcr.io"]["auth"] == "masked-secret-1"
