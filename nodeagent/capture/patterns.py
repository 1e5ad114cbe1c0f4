"""How what names a machine, a person or a secret looks in the texts of a host."""

import re

# A beginning of a word; in JSON within JSON the `n` of an escaped newline is no letter before it.
_B = r"(?:(?<![0-9A-Za-z])|(?<=\\[nrt]))"
_END = r"(?![0-9A-Za-z])"
_IS = r"\\?[\"']?[ \t]{0,4}[:=][ \t]{0,4}\[?\\?[\"']?"
"""Between a name and its value, in a shell's file, YAML, TOML, or JSON within JSON."""

OWN = re.compile(r"masked-(host|user|serial|volume|id|secret)-\d{1,6}(@example\.com|\.example)?")
"""What stands for something masked: it is left as it is when a capture is captured again."""

PEM = re.compile(
    r"(-----BEGIN [A-Z0-9 ]{1,64}-----)"
    r"((?:(?!-----BEGIN )[\s\S]){0,65536}?(?=-----END )|[A-Za-z0-9+/=\s\\]{0,65536})"
)

BUILDER = re.compile(r"(Linux version [^\s(]{1,128} \()([^)\s]{1,256}@[^)\s]{1,256})(?=\))")

# Up to the last @ of the word: who writes a password into a URL does not always escape it.
URL_USER = re.compile(r"(://)([^\s\"'<>]{1,1024})(@)")
URL_HOST = re.compile(
    r"(://(?:[^\s\"'<>]{1,1024}@)?)([A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?)"
)
PROXY = re.compile(
    r"(?i)((?<![A-Za-z0-9])(?:https?|all|ftp|rsync|socks)[-_]?proxy" + _IS + r")"
    r"(?![a-z0-9+.-]{1,16}://)([^\s\"'<>]{1,1024}@)?"
    r"([A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?)"
)
NO_PROXY = re.compile(r"(?i)((?<![A-Za-z0-9])no[-_]?proxy" + _IS + r")([^\s\"'\\]{1,4096})")

_TELLING = (
    r"passwords?|passwd|passphrase|pass|pwd|secrets?|tokens?|api[-_]?keys?|access[-_]?keys?"
    r"|(?:host|ssh|priv)[-_]?keys?|private[-_]?keys?|credentials?|encryption[-_]?keys?|signing[-_]?keys?|psk"
)
SECRET_MARKS = (
    *("pass", "pwd", "secret", "token", "key", "credential", "psk", "auth"),
    *("-data", "username", "acct", "bearer", "basic"),
)
"""A line without any of these, in small letters, has no secret that its name gives away."""

# Ends of a name: FOO_TOKEN, registry-password, DB_SECRET_1; not tokenRequests or TOKEN_FILE.
_SECRET_NAME = (
    r"(?:[\w.-]{0,64}?(?:(?:" + _TELLING + r")"
    r"(?:[-_](?!file|path|dir|ttl|name|url|type|size|len|cache|webhook)[a-z0-9]{1,32}){0,3}"
    r"|[-_]key)|auth|identitytoken|(?:[\w.-]{1,64}[.-])?username|acct|[\w-]{1,64}-data)"
)
# Its value: within the quotes that hold the whole, within quotes of its own, or one word.
SECRET = re.compile(
    r"(?i)(?<![\w.-])(?:"
    r"(?P<quote>[\"'])(?P<n1>" + _SECRET_NAME + r")="
    r"(?P<v1>(?:\\[^\n]|(?!(?P=quote))[^\\\n]){1,4096})(?=(?P=quote))"
    r"|(?P<n2>" + _SECRET_NAME + r")(?P<sep>\\?[\"']?[ \t]{0,4}[:=][ \t]{0,4})"
    r"(?:(?P<q2>\\[\"']|\"{3}|'{3})(?P<v2>(?:(?!(?P=q2))[^\n]){1,4096})"
    r"|\"(?P<v3>(?:\\[^\n]|[^\"\\\n]){1,4096})"
    r"|'(?P<v4>[^'\n]{1,4096})"
    r"|(?<==)(?P<v5>(?:(?![\"'],)[^\s\0{}\[\]]){0,4096}[^\s\0{}\[\]\"'\\,;])"
    r"|(?P<v6>[^\s,;{}\[\]\0]{0,4096}[^\s,;{}\[\]\0\"'\\]))"
    r")"
)
FLAG = re.compile(
    r"(?i)(?<![\w-])(--?(?:[a-z0-9]{1,32}-){0,6}(?:" + _TELLING + r")[ \0])"
    r"([^\s\0\"'-][^\s\0\"']{0,4095})"
)
HARMLESS = re.compile(
    r"(?i)(?:true|false|yes|no|y|n|m|on|off|null|none|nil|always|never|webhook|required|optional"
    r"|\$\{?\w{1,64}\}?|%\w|<[\w -]{1,64}>|\*{1,64}|0x[0-9a-f]{1,16}|\d{1,3}"
    r"|(?:\d{1,6}(?:\.\d{1,3})?(?:ns|us|ms|s|m|h|d)){1,6})"
)
"""Values that keep no secret: switches, references, durations, small numbers."""
NUMBER = re.compile(r"0x[0-9a-f]+")
PATH = re.compile(r"(?:/[\w.@:-]{1,255}){1,64}/?")

BEARER = re.compile(
    r"(?i)(?<![\w])(bearer[ :]{1,3}|basic[ ](?=[A-Za-z0-9+/]{0,64}[0-9=+/]))"
    r"([A-Za-z0-9._~+/=-]{8,4096})"
)
TOKENS = re.compile(
    _B + r"(?:eyJ[A-Za-z0-9_-]{5,8192}\.[A-Za-z0-9_-]{5,8192}(?:\.[A-Za-z0-9_-]{0,8192})?"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255}"
    r"|glpat-[\w-]{20,64}|xox[abprs]-[A-Za-z0-9-]{10,255}|nvapi-[\w-]{20,128}|hf_[A-Za-z0-9]{20,64}"
    r"|AGE-SECRET-KEY-1[0-9A-Z]{20,128}"
    r"|sk-[A-Za-z0-9_-]{20,128}|AIza[\w-]{35}|ya29\.[\w-]{20,255}|dckr_pat_[\w-]{20,64})"
)

JOIN_TOKEN = re.compile(r"(?<![\w.-])[a-z0-9]{6}\.[a-z0-9]{16}(?![\w.-])")
"""kubeadm's, wherever it stands."""
PASSWORD_IS = re.compile(r"(?i)((?:password|passphrase|passcode|pin) is[: ]{1,2})(\S{4,256})")
WEBHOOK = re.compile(r"((?:hooks\.slack\.com/services|[a-z.]{1,64}/api/webhooks)/)([\w/+-]{8,512})")

FILE_SERVER = re.compile(
    r"(?i)((?:nfs[d34]?|cifs|smb3?|rpc|sunrpc|ntp|iscsi|ceph)\b[^\n]{0,40}?\bserver[ :='\"]{1,3})"
    r"([A-Za-z0-9][A-Za-z0-9.-]{0,252})"
)
SHARE = re.compile(r"((?<![\\\w])(?:\\\\){1,2})([A-Za-z0-9][A-Za-z0-9.-]{1,252})(?=\\)")
IP_CONFIG = re.compile(
    r"((?<![\w-])(?:host|domain|nis-domain|bootserver|rootserver)=)([A-Za-z][A-Za-z0-9.-]{0,252})"
)
CLOUD_INIT = re.compile(r"(;h(?:ostname)?=)([A-Za-z0-9][A-Za-z0-9.-]{0,252})")
LABEL = re.compile(r"((?:(?<![A-Za-z])(?:PART)?LABEL=\"?|device label ))([\w.-]{2,64})")
SUDO = re.compile(r"(\bsudo:[ \t]{1,4})([a-z_][\w.-]{0,63})(?=[ \t]{1,4}:)")

HOST_NAMED = re.compile(
    r"(?i)(?<![A-Za-z])((?:hostname(?:[-_]?override)?|host[-_]name|node[-_]?name|nodename"
    r"|kubernetes\.io/hostname)(?:\\?[\"']?[ \t]{0,4}[:=][ \t]{0,4}\\?[\"']?| set to <))"
    r"([A-Za-z0-9][A-Za-z0-9.-]{0,252})"
)
HOST_FLAG = re.compile(
    r"(--(?:hostname-override|hostname|node-name|nodename|tls-san|cluster-domain)[\0 =])"
    r"([A-Za-z0-9][A-Za-z0-9.-]{0,252})"
)
NET_BOOT = re.compile(
    r"((?<![\w.])(?:(?:nfs4?root|netroot|inst\.\w{1,16}|ks|repo|root)=(?:nfs4?|iscsi|nbd):(?:[^\s:/]{0,64}:)??"
    r"|nfsroot=|iscsi_target_ip=))([A-Za-z0-9][A-Za-z0-9.-]{0,252})(?=[:/,\s])"
)
IMAGE_HOST = re.compile(
    r"((?:sandbox(?:_image)?|pause_image|infra(?:-container)?[-_]image|endpoint)"
    + _IS
    + r"|(?:configs|mirrors)\\?[\"']?\.\\?[\"'])"
    r"([A-Za-z0-9](?:[A-Za-z0-9-]{0,62}\.[A-Za-z0-9.-]{1,189}|[A-Za-z0-9-]{0,62}(?=:\d)))"
)
IP_SERVER = re.compile(r"((?<![\w.])ip=[^\s:]{1,64}:)([A-Za-z][A-Za-z0-9.-]{0,252})(?=:)")
IP_OPTION = re.compile(r"((?<![\w.])ip=(?:[^\s:]{0,64}:){4})([A-Za-z0-9][A-Za-z0-9.-]{0,252})(?=:)")

SERIAL = re.compile(
    r"(?i)(?<![A-Za-z])((?:serial[ _-]?(?:number|num|no)\.?|asset[ _-]?tag|service[ _-]?tag"
    r"|chassis[ _-]?tag|s/n)\\?[\"']?[ \t]{0,4}[:=#][ \t]{0,4}\\?[\"']?)"
    r"([^\s\"',;\\\]\)]{2,128})"
)
# Said in passing: it takes a number with digits in it, for `serial` also names ports.
SERIAL_SAID = re.compile(
    r"(?i)(?<![A-Za-z0-9])((?:serial(?:[ _-]?(?:number|num|nr|no))?|s/?n)\.?"
    r"(?:[ \t]{0,2}[#:=(\[<]{1,2}[ \t]{0,4}|[ \t]{1,4})[\"']?)"
    r"((?=[A-Z-]{0,31}\d)[A-Z0-9](?:[A-Z0-9-]{3,62})[A-Z0-9])(?![A-Z0-9./])"
)
PPIN = re.compile(r"(?i)(?<![A-Za-z])(ppin[:= ]{1,3}(?:0x)?)([0-9a-f]{8,16})" + _END)
"""The serial number of a processor, as machine check reports have it."""
SERIAL_OPTION = re.compile(r"(?i)(?<![A-Za-z])(serial=)([^\s\"',;]{4,128})")

UUID = re.compile(
    _B + r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}" + _END
)
MD_UUID = re.compile(_B + r"(?<!:)[0-9a-fA-F]{8}(?::[0-9a-fA-F]{8}){3}(?![0-9A-Za-z:])")
SHORT_UUID = re.compile(
    r"((?<![A-Za-z])(?:PART)?UUID=\"?|by-(?:part)?uuid/)([0-9A-Fa-f][0-9A-Fa-f-]{3,35})" + _END
)

VOLUME = re.compile(
    r"(/dev/mapper/(?!control\b)|by-id/|rd\.lvm\.lv=|rd\.lvm\.vg=|rd\.luks\.name=[^\s=]{1,64}="
    r"|cryptdevice=[^\s:]{1,256}:|root=/dev/(?!disk/|mapper/|md|nvme|sd|vd|xvd|ram|nfs))"
    r"([\w.+:-]{1,255})(/[\w.+-]{1,255})?"
)

STORAGE_ID = re.compile(
    r"(?i)" + _B + r"((?:eui|naa|wwn|nvme\.[0-9a-f]{4})[.-]?(?:0x)?"
    r"|(?:sas[_ ]?addr(?:ess)?|logical id|device_name|wwid|wwn|guid)[ (:=]{1,4}(?:0x)?)"
    r"([0-9a-f]{16,64})" + _END
)
QUALIFIED = re.compile(
    r"(?i)" + _B + r"((?:iqn|nqn)\.\d{4}-\d\d\.|nqn\.\d{4}\.\d\d\.)([\w.:-]{1,220})"
)
CLOUD_ID = re.compile(_B + r"(?:i|vol|eni)-[0-9a-f]{8,17}" + _END)
PROVIDER_ID = re.compile(
    r"(?i)(?<![A-Za-z])(provider[-_]?id\\?[\"']?[ \t]{0,4}[:=][ \t]{0,4}\\?[\"']?)([\w./:-]{4,255})"
)

MAC = re.compile(
    r"(?:" + _B + r"(?<![.:-])|(?<=enx))"
    r"(?:(?:[0-9a-fA-F]{2}:){5,19}[0-9a-fA-F]{2}(?![0-9A-Za-z:])"
    r"|(?:[0-9a-fA-F]{2}-){5,7}[0-9a-fA-F]{2}(?![0-9A-Za-z-])"
    r"|(?<=enx)[0-9a-fA-F]{12}" + _END + r")"
)
MAC_SAID = re.compile(
    r"(?i)(?<![a-z])((?:mac|hw[ _-]?addr|hwaddress|ether|bootif|ethernet|lladdr)"
    r"(?:[ _-]?addr(?:ess)?)?(?:[ \t]{1,4}|" + _IS + r")(?:01-)?)([0-9a-f]{12})" + _END
)
MAC_DOTTED = re.compile(_B + r"(?<!\.)(?:[0-9a-fA-F]{4}\.){2}[0-9a-fA-F]{4}(?![0-9A-Za-z]|\.\d)")
IPV6 = re.compile(
    r"(?:(?<![0-9A-Za-z:.])|(?<=\\[nrt]))(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![0-9A-Za-z:]|\.\d)"
)
IPV4 = re.compile(r"(?<![0-9.vV])(?:\d{1,3}\.){3}\d{1,3}(?![0-9A-Za-z_]|\.\d)")
QUAD = re.compile(r"\s*(?:\d{1,3}\.){3}\d{1,3}\s*")
VERSION_BEFORE = re.compile(
    r"(?i)(?<![a-z])(?:version|ver|firmware|fw|v?bios|build|release|rev|revision|microcode|driver|ucode|api"
    r"|firmware updated from(?: [\d.]{1,20} to)?)[\s:=\"'(,-]{0,4}$"
)

EMAIL = re.compile(
    r"(?<![\w.+/@%-])([\w.+-]{1,64})@([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8})(?![\w@-])"
)
UNIT_SUFFIXES = (".service", ".socket", ".mount", ".slice", ".timer", ".target", ".device", ".swap")

HOME = re.compile(r"((?<![\w.-])/(?:var/)?home/|/Users/)([\w.+@-]{1,64})")

HEX = re.compile(_B + r"(?:0x)?[0-9a-fA-F]{32,8192}" + _END)
BLOB = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{40,65536}={0,2}(?![A-Za-z0-9+/_=-])")
