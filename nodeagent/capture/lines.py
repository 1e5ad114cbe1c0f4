"""Finds in a line of text what names a machine, a person or a secret, and puts a stand-in there."""

import re
from collections.abc import Callable

from nodeagent.capture import patterns as p
from nodeagent.capture.standins import Kind, StandIns, is_random

_OWN_UUID = "00000000000040008000"
_OWN_HEX = "0e0000000000000000"

# Names of the firmware's own variables (UEFI specification, shim), the same on every machine.
_PUBLIC_UUIDS = frozenset(
    {
        "8be4df6193ca11d2aa0d00e098032b8c",
        "d719b2cb3d3a4596a3bcdad00e67656f",
        "605dab50e0464300abb63dd810dd8b23",
    }
)


class Lines:
    """Masks line by line. Most lines hold nothing: a plain test comes before each pattern."""

    def __init__(self, known: StandIns) -> None:
        self._known = known
        self._steps: tuple[tuple[tuple[str, ...], Callable[[str], str]], ...] = (
            (("masked-",), self._own),
            (("linux version ",), lambda line: p.BUILDER.sub(self._builder, line)),
            (("://",), lambda line: p.URL_USER.sub(self._url_user, line)),
            (("proxy",), self._proxies),
            (p.SECRET_MARKS, self._secrets),
            ((), lambda line: p.TOKENS.sub(self._token, line)),
            ((".",), lambda line: p.JOIN_TOKEN.sub(self._token, line)),
            ((" is",), lambda line: p.PASSWORD_IS.sub(self._named_secret, line)),
            (("slack", "webhooks"), lambda line: p.WEBHOOK.sub(self._named_secret, line)),
            (("hostname", "host-name", "host_name", "node", "ip=", "--"), self._hosts),
            (("server", "\\\\", "domain=", ";h"), self._servers),
            (("label",), lambda line: p.LABEL.sub(self._label, line)),
            (("sudo:",), lambda line: p.SUDO.sub(self._user, line)),
            (("root=", "ks=", "repo=", "inst.", "target_ip"), self._net_boot),
            (("sandbox", "_image", "-image", "endpoint", "configs", "mirrors"), self._images),
            (("serial", "tag", "s/n", "sn", "ppin"), self._serials),
            (("-", ":"), self._uuids),
            (("/dev/", "by-id", "rd.l", "cryptdevice"), self._volumes),
            ((), self._ids),
            ((), self._addresses),
            (("@",), lambda line: p.EMAIL.sub(self._email, line)),
            (("/home/", "/users/"), self._homes),
            (("://",), lambda line: p.URL_HOST.sub(self._host, line)),
            ((), self._long_words),
        )

    def masked(self, line: str) -> str:
        low = line.lower()
        for marks, step in self._steps:
            if not marks or any(mark in low for mark in marks):
                line = step(line)
        return line

    def pem(self, text: str) -> str:
        """Keys and certificates go over many lines."""
        return p.PEM.sub(self._pem, text)

    def _own(self, line: str) -> str:
        self._known.note_own(line)
        return line

    def _secrets(self, line: str) -> str:
        if not line.startswith(("CONFIG_", "# CONFIG_")):
            line = p.SECRET.sub(self._secret, line)
        line = p.FLAG.sub(self._named_secret, line)
        return p.BEARER.sub(self._named_secret, line)

    def _hosts(self, line: str) -> str:
        for pattern in (p.HOST_NAMED, p.HOST_FLAG, p.IP_OPTION, p.IP_SERVER):
            line = pattern.sub(self._host, line)
        return line

    def _proxies(self, line: str) -> str:
        return p.NO_PROXY.sub(self._no_proxy, p.PROXY.sub(self._proxy, line))

    def _net_boot(self, line: str) -> str:
        return p.NET_BOOT.sub(self._host, line)

    def _images(self, line: str) -> str:
        return p.IMAGE_HOST.sub(self._host, line)

    def _serials(self, line: str) -> str:
        for pattern in (p.SERIAL, p.SERIAL_SAID, p.SERIAL_OPTION, p.PPIN):
            line = pattern.sub(self._serial, line)
        return line

    def _servers(self, line: str) -> str:
        patterns = [p.FILE_SERVER, p.SHARE, p.CLOUD_INIT]
        if "host=" in line and "domain=" in line:
            patterns.append(p.IP_CONFIG)
        for pattern in patterns:
            line = pattern.sub(self._host, line)
        return line

    def _uuids(self, line: str) -> str:
        if line.count(":") >= 3:
            line = p.MD_UUID.sub(self._md_uuid, line)
        return p.SHORT_UUID.sub(self._short_uuid, p.UUID.sub(self._uuid, line))

    def _volumes(self, line: str) -> str:
        return p.VOLUME.sub(self._volume, line)

    def _ids(self, line: str) -> str:
        for pattern in (p.STORAGE_ID, p.QUALIFIED, p.PROVIDER_ID):
            line = pattern.sub(self._id, line)
        return p.CLOUD_ID.sub(self._cloud_id, line)

    def _homes(self, line: str) -> str:
        return p.HOME.sub(lambda m: m[1] + self._known.name(Kind.USER, m[2]), line)

    def _addresses(self, line: str) -> str:
        if line.count(":") >= 5 or line.count("-") >= 5 or "enx" in line:
            line = p.MAC.sub(self._mac, line)
        if line.count(".") >= 2:
            line = p.MAC_DOTTED.sub(self._mac, line)
        line = p.MAC_SAID.sub(lambda match: match[1] + self._mac_digits(match[2].lower()), line)
        if line.count(":") >= 2:
            line = p.IPV6.sub(self._ipv6, line)
        if line.count(".") >= 3:
            line = p.IPV4.sub(self._ipv4, line)
        return line

    def _long_words(self, line: str) -> str:
        if len(line) < 32:
            return line
        return p.BLOB.sub(self._blob, p.HEX.sub(self._hex, line))

    # what each is replaced by

    def _pem(self, match: re.Match[str]) -> str:
        inner = match[2]
        if not inner.strip("\\n\n\t ") or inner.strip("\\n\n\t ").startswith("masked"):
            return match[0]
        ends = ("\\n", "\\n") if "\\n" in inner and "\n" not in inner else ("\n", "\n")
        return f"{match[1]}{ends[0]}{self._known.name(Kind.SECRET, inner)}{ends[1]}"

    def _host(self, match: re.Match[str]) -> str:
        return f"{match[1]}{self._known.host(match[2])}"

    def _user(self, match: re.Match[str]) -> str:
        return f"{match[1]}{self._known.name(Kind.USER, match[2])}"

    def _label(self, match: re.Match[str]) -> str:
        return f"{match[1]}{self._known.label(match[2])}"

    def _serial(self, match: re.Match[str]) -> str:
        return f"{match[1]}{self._known.serial(match[2])}"

    def _id(self, match: re.Match[str]) -> str:
        return f"{match[1]}{self._known.name(Kind.ID, match[2])}"

    def _cloud_id(self, match: re.Match[str]) -> str:
        return self._known.name(Kind.ID, match[0])

    def _named_secret(self, match: re.Match[str]) -> str:
        return f"{match[1]}{self._known.secret(match[2])}"

    def _builder(self, match: re.Match[str]) -> str:
        user, _, host = match[2].partition("@")
        return f"{match[1]}{self._known.name(Kind.USER, user)}@{self._known.name(Kind.HOST, host)}"

    def _url_user(self, match: re.Match[str]) -> str:
        user, colon, password = match[2].partition(":")
        hidden = self._known.name(Kind.USER, user) if user else ""
        return f"://{hidden}{colon}{self._known.secret(password) if password else ''}@"

    def _proxy(self, match: re.Match[str]) -> str:
        user, _, password = (match[2] or "").removesuffix("@").partition(":")
        hidden = f"{self._known.name(Kind.USER, user)}" if user else ""
        hidden += f":{self._known.secret(password)}" if password else ""
        return f"{match[1]}{hidden}{'@' if match[2] else ''}{self._known.host(match[3])}"

    def _no_proxy(self, match: re.Match[str]) -> str:
        return match[1] + ",".join(map(self._no_proxy_item, match[2].split(",")))

    def _no_proxy_item(self, item: str) -> str:
        bare = item.lstrip("*.")
        if not bare or not (bare[0].isalnum() and any(c.isalpha() for c in bare)) or "/" in bare:
            return item  # an address, which is masked as such
        name, colon, port = bare.partition(":")
        return item[: len(item) - len(bare)] + self._known.host(name) + colon + port

    def _secret(self, match: re.Match[str]) -> str:
        values = ("v1", "v2", "v3", "v4", "v5", "v6")
        group = next(name for name in values if match[name] is not None)
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        is_user = (match["n1"] or match["n2"]).lower().endswith(("username", "acct"))
        value = match[group]
        hidden = self._known.name(Kind.USER, value) if is_user else self._known.secret(value)
        return match[0][:start] + hidden + match[0][end:]

    def _token(self, match: re.Match[str]) -> str:
        return self._known.secret(match[0])

    def _uuid(self, match: re.Match[str]) -> str:
        digits = match[0].replace("-", "").lower()
        hidden = self._hex128(digits)
        if hidden == digits:
            return match[0]
        return "-".join((hidden[:8], hidden[8:12], hidden[12:16], hidden[16:20], hidden[20:]))

    def _md_uuid(self, match: re.Match[str]) -> str:
        """mdraid's way to write one."""
        digits = match[0].replace(":", "").lower()
        hidden = self._hex128(digits)
        if hidden == digits:
            return match[0]
        return ":".join(hidden[at : at + 8] for at in range(0, 32, 8))

    def _hex128(self, digits: str) -> str:
        """Version 4 in shape, and so low that nobody could take it for a real one."""
        if digits in _PUBLIC_UUIDS or len(set(digits)) == 1:
            return digits
        if digits.startswith(_OWN_UUID):
            self._known.see(Kind.UUID, digits)
            return digits
        return self._known.shaped(Kind.UUID, digits, lambda n: f"{_OWN_UUID}{n:012x}")

    def _short_uuid(self, match: re.Match[str]) -> str:
        if len(match[2]) == 36:  # a whole one, dealt with above
            return match[0]
        return match[1] + self._known.name(Kind.ID, match[2])

    def _volume(self, match: re.Match[str]) -> str:
        rest = "/" + self._known.name(Kind.VOLUME, match[3][1:]) if match[3] else ""
        hidden = self._known.name(Kind.VOLUME, match[2])
        if match[1] == "by-id/":  # the model and the serial number, which also stands alone
            for part in re.split(r"[_.:-]", match[2]):
                self._known.watch(part, hidden)
        return match[1] + hidden + rest

    def _mac(self, match: re.Match[str]) -> str:
        between = next((each for each in ":-." if each in match[0]), "")
        digits = match[0].replace(between, "") if between else match[0]
        hidden = self._mac_digits(digits.lower())
        if hidden == digits.lower():
            return match[0]
        step = 4 if between == "." else 2
        return between.join(hidden[at : at + step] for at in range(0, len(hidden), step))

    def _mac_digits(self, digits: str) -> str:
        if len(set(digits)) == 1:
            return digits
        if digits.startswith("0200000000"):
            self._known.see(Kind.ADDRESS, digits)
            return digits
        width = len(digits)
        return self._known.shaped(Kind.ADDRESS, digits, lambda n: f"02{n:0{width - 2}x}")

    def _ipv6(self, match: re.Match[str]) -> str:
        import ipaddress  # noqa: PLC0415 - only where something looks like one

        try:
            address = ipaddress.IPv6Address(match[0])
        except ValueError:
            return match[0]
        if address.is_loopback or address.is_unspecified:
            return match[0]
        if match[0].lower().startswith("2001:db8::"):
            self._known.see(Kind.ADDRESS, match[0])
            return match[0]
        return self._known.shaped(Kind.ADDRESS, str(address), lambda n: f"2001:db8::{n:x}")

    def _ipv4(self, match: re.Match[str]) -> str:
        parts = match[0].split(".")
        if any(int(part) > 255 or part != str(int(part)) for part in parts):
            return match[0]
        before = match.string[max(0, match.start() - 48) : match.start()]
        if p.VERSION_BEFORE.search(before) or parts[0] in {"0", "127", "255"}:
            return match[0]
        if match[0].startswith(("192.0.2.", "198.18.", "198.19.")):
            self._known.see(Kind.ADDRESS, match[0])
            return match[0]
        return self._known.shaped(Kind.ADDRESS, match[0], _set_aside)

    def _email(self, match: re.Match[str]) -> str:
        local, domain = match[1], match[2].lower()
        if domain.endswith(p.UNIT_SUFFIXES) or local.startswith("masked-"):
            return match[0]
        return self._known.shaped(Kind.EMAIL, match[0].lower(), "masked-user-{}@example.com".format)

    def _hex(self, match: re.Match[str]) -> str:
        start = "0x" if match[0].startswith("0x") else ""
        digits = match[0].removeprefix("0x").lower()
        if len(digits) == 32:
            return start + self._hex128(digits)
        if len(digits) < 32 or len(set(digits)) <= 2:
            return match[0]
        if digits.startswith(_OWN_HEX):
            self._known.see(Kind.ID, digits)
            return match[0]
        return start + self._known.shaped(Kind.ID, digits, lambda n: f"0e{n:0{len(digits) - 2}x}")

    def _blob(self, match: re.Match[str]) -> str:
        # A variable of the firmware's has its vendor's UUID in its name.
        rest = p.UUID.sub("", match[0].rstrip("="))
        return self._known.secret(match[0]) if len(rest) >= 40 and is_random(rest) else match[0]


def _set_aside(number: int) -> str:
    """Addresses set aside for documents, then for measuring networks (RFC 5737, RFC 2544)."""
    if number < 255:
        return f"192.0.2.{number}"
    return f"198.{18 + (number >> 16 & 1)}.{number >> 8 & 255}.{number & 255}"
