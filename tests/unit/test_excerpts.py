"""Of files that hold secrets a capture has no more than what is judged, and that unchanged."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.capture import excerpts
from nodeagent.capture.archive import open_capture
from nodeagent.facts import documents
from nodeagent.facts.units import Command, command
from tests.hosts import recipes
from tests.hosts.draft import Draft
from tests.unit.captures import captured_host, masked, replayed, written
from tests.unit.looks import drafted, thorough

TOML = "/etc/containerd/config.toml"
CRIO = "/etc/crio/crio.conf"
KUBELET = "/var/lib/kubelet/config.yaml"
UNIT = "/usr/lib/systemd/system/kubelet.service"
DROP_IN = "/etc/systemd/system/kubelet.service.d/90-proxy.conf"
ENVIRONMENT = "/etc/default/kubelet"

REGISTRY = '''
[plugins."io.containerd.cri.v1.images".registry.configs."reg.corp:5000".auth]
username = "u\\"ser-7"
password = 'p"a\\ss-7'
auth = """
multi-7
line-7"""
[plugins."io.containerd.cri.v1.images".registry.mirrors."reg.corp"]
endpoint = ["https://mirror-7.corp"]
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "reg-7.corp/pause:3.10"
[proxy_plugins."odd \\u007f name"]
type = "snapshot"
address = "/run/odd-7.sock"
'''
HEADERS = "staticPodURLHeader:\n  Authorization: [Bearer hidden-7]\nclusterDomain: corp-7.example\n"
PROXIES = (
    '[Service]\nEnvironment="HTTPS_PROXY=bob:pw-7@proxy-7.corp:3128" \\\n'
    '  "NO_PROXY=host-7.corp,.corp-7"\nEnvironment=PASS_7=x-7\n'
    "ExecStartPre=/bin/curl -u a:b-7 h-7\n"
)
SECRETS = {
    TOML: REGISTRY,
    CRIO: '[crio.image]\nglobal_auth_file = "/root/auth-7"\npause_image = "reg-7.corp/p"\n',
    KUBELET: HEADERS,
    DROP_IN: PROXIES,
}


def _host(path: str, more: str) -> Draft:
    """A host whose file says more than is judged."""
    name = {DROP_IN: "genoa-kubelet-stopped", CRIO: "genoa-crio"}.get(path, "genoa-kubelet-ready")
    draft = recipes.draft(name)
    draft.put(path, f"{draft.text(path) or ''}\n{more}")
    return draft


@pytest.mark.parametrize("path", SECRETS)
def test_what_is_not_judged_is_not_written(path: str, tmp_path: Path) -> None:
    host = drafted(_host(path, SECRETS[path]), tmp_path / "host")

    taken = captured_host(host)

    held = "".join(
        each.decode(errors="replace") for each in taken.entries.values() if isinstance(each, bytes)
    )
    assert f"root{path}" in taken.entries
    assert "-7" not in held.replace("6.17.0-7", "").replace("-7-generic", "")


@pytest.mark.parametrize("path", SECRETS)
def test_what_is_judged_is_the_same_after(path: str, tmp_path: Path) -> None:
    taken = captured_host(drafted(_host(path, SECRETS[path]), tmp_path / "host"))

    assert replayed(taken).runtime == masked(taken.facts.runtime, taken.mask)


@pytest.mark.parametrize(
    ("start", "environment", "file", "kept"),
    [
        ("/bin/k $ARGS", 'Environment="ARGS=--v=2 x" "TOKEN_7=y"', "", ["ARGS"]),
        ("/bin/k ${A}b$C", "Environment=A=1 C=2 D_7=3", "", ["A", "C"]),
        ("/bin/k $$A", "Environment=D_7=1", "", []),
        ("/bin/k $A", "Environment=A=1\nEnvironment=", "", []),
        ("/bin/k $A", "Environment=B_7=1\nEnvironment=A=1", "", ["A"]),
        ("/bin/k $A", "EnvironmentFile=-/etc/default/kubelet", "A='1 2'\nB_7=2\n#A=3", ["A"]),
    ],
)
def test_a_unit_starts_what_it_started(
    start: str, environment: str, file: str, kept: list[str], tmp_path: Path
) -> None:
    draft = recipes.draft("genoa-kubelet-stopped")
    draft.put(UNIT, f"[Unit]\nX=7\n[Service]\n{environment}\nExecStart={start} --config=/a.yaml\n")
    draft.put(ENVIRONMENT, file)
    host = drafted(draft, tmp_path / "host")

    taken = captured_host(host)

    with open_capture(str(host)) as machine:
        before = command(machine.files, "kubelet.service")
    with open_capture(str(written(taken, tmp_path / "capture"))) as machine:
        after = command(machine.files, "kubelet.service")
    held = "".join(str(taken.entries.get(f"root{path}")) for path in (UNIT, ENVIRONMENT))
    assert isinstance(before, Command)
    assert after == before
    assert "_7" not in held
    assert all(f"{name}=" in held for name in kept)


def test_what_cannot_be_split_is_still_said_not_to_be(tmp_path: Path) -> None:
    draft = recipes.draft("genoa-kubelet-stopped")
    draft.put(DROP_IN, '[Service]\nEnvironment="secret-7\n')
    taken = captured_host(drafted(draft, tmp_path / "host"))

    assert "secret-7" not in str(taken.entries)
    assert replayed(taken).runtime == taken.facts.runtime


_NAMES = st.sampled_from(["kata", "a.b", 'q"u\\o', "\x7f\u20ac", ""])
_TEXT = st.text(st.characters(codec="utf-8"), max_size=4)
_VALUES = st.recursive(
    _TEXT | st.integers(0, 9) | st.booleans(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    ["runtime_type", "runtime_path", "runtime_config_path", "snapshotter", "options", "other"]
)
_HANDLER = ("runtime_type", "runtime_path", "runtime_config_path", "snapshotter")
_RUNTIMES = st.dictionaries(_NAMES, st.dictionaries(_KEYS, _VALUES, max_size=4), max_size=3)
_TREES = st.fixed_dictionaries(
    {},
    optional={
        "imports": st.lists(_TEXT, max_size=3),
        "proxy_plugins": st.dictionaries(_NAMES, _VALUES, max_size=2),
        "plugins": st.dictionaries(
            st.sampled_from(["io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images", "x"]),
            st.fixed_dictionaries(
                {}, optional={"containerd": st.fixed_dictionaries({"runtimes": _RUNTIMES})}
            ),
        ),
        "crio": st.fixed_dictionaries({"runtime": st.fixed_dictionaries({"runtimes": _RUNTIMES})}),
        "hypervisor": st.fixed_dictionaries({"qemu": st.dictionaries(_KEYS, _VALUES, max_size=2)}),
        "secret": _VALUES,
    },
)


def _inline(value: object) -> str:
    """TOML in one line, as we never write it."""
    match value:
        case dict():
            pairs = (f"{_inline(key)} = {_inline(each)}" for key, each in value.items())
            return f"{{{', '.join(pairs)}}}"
        case list():
            return f"[{', '.join(map(_inline, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@thorough
@given(tree=_TREES)
def test_a_part_of_toml_is_toml_and_says_the_same(tree: dict[str, Any]) -> None:
    text = "".join(f"{_inline(key)} = {_inline(value)}\n" for key, value in tree.items())
    part = excerpts.toml(text.encode())

    assert part is not None
    after = tomllib.loads(part.decode())
    assert "secret" not in after
    assert after.get("imports", []) == tree.get("imports", [])
    assert list(after.get("proxy_plugins", {})) == list(tree.get("proxy_plugins", {}))
    assert containerd_runtimes(after) == containerd_runtimes(tree)


def containerd_runtimes(tree: dict[str, Any]) -> dict[tuple[str, str], list[str]]:
    """What counts of each handler, by plugin and name."""
    found = {}
    tables = {name: each.get("containerd", {}) for name, each in tree.get("plugins", {}).items()}
    tables["crio"] = tree.get("crio", {}).get("runtime", {})
    for plugin, table in tables.items():
        for name, runtime in table.get("runtimes", {}).items():
            found[plugin, name] = [documents.text(runtime, key) for key in _HANDLER]
    return found
