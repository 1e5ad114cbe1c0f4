"""The command line: exit codes, outputs, and what it says to wrong words."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.shell_completion import BashComplete

from nodeagent import config
from nodeagent.cli.main import cli, commands
from nodeagent.errors import UsageError
from tests.unit.command import run


@pytest.mark.parametrize(
    ("host", "code"),
    [("genoa-ready", 0), ("genoa-iommu-pt", 1), ("genoa-gpu-d3cold", 4), ("dev-machine", 1)],
)
def test_the_exit_code_is_the_verdict(host: str, code: int, hosts: Path) -> None:
    assert run("check", "--capture", hosts / host) == code


def test_what_the_report_proposes_explains_for_the_same_host(
    hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("check", "--capture", hosts / "milan-dell-r6515-rmp")
    [proposed] = [line for line in capsys.readouterr().out.split("\n") if " explain " in line]

    words = shlex.split(proposed.rpartition("nodeagent ")[2])
    assert run(*words) == 0
    assert "on this board (Dell Inc., PowerEdge R6515," in capsys.readouterr().out


def test_a_sleeping_gpu_is_judged_alike_whether_or_not_it_may_be_woken(
    hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("check", "--capture", hosts / "genoa-gpu-d3cold")
    assert run(*words) == 4
    allowed = capsys.readouterr().out
    assert run(*words, "--no-wake") == 4

    assert capsys.readouterr().out == allowed


def test_no_gpu_is_fine_for_the_profile_without_one(hosts: Path) -> None:
    assert run("check", "--capture", hosts / "genoa-no-gpu") == 1
    assert run("check", "--capture", hosts / "genoa-no-gpu", "--profile", "snp") == 0
    assert run("check", "--capture", hosts / "genoa-no-gpu", "--profile", "gpu") == 1


def test_a_gpu_profile_does_not_ask_for_snp(hosts: Path) -> None:
    assert run("check", "--capture", hosts / "genoa-smee-off", "--profile", "gpu") == 0
    assert run("check", "--capture", hosts / "intel", "--profile", "gpu") == 0


def test_json_and_yaml_say_the_same(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("check", "--capture", hosts / "genoa-iommu-pt", "-o")
    run(*words, "json")
    as_json = json.loads(capsys.readouterr().out)
    run(*words, "yaml")
    as_yaml = yaml.safe_load(capsys.readouterr().out)

    assert as_json == as_yaml
    assert as_json["root"]["code"] == "IOMMU_PASSTHROUGH_OR_OFF"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("chekc",), "unknown command 'chekc'\n  try: did you mean check?"),
        (
            ("check", "--profile", "snp-gpus"),
            "unknown profile 'snp-gpus'\n  try: did you mean snp-gpu?",
        ),
        (("check", "--mode", "onn"), "unknown mode 'onn'\n  try: did you mean on?"),
        (("check", "-o", "jsn"), "'jsn' is not known; did you mean json?"),
        (("check", "--caputre", "x"), "--capture"),
        (("check", "--root", "/", "--capture", "x"), "exclude each other"),
        (("check", "--config", "/nowhere/c.yaml"), "no configuration file /nowhere/c.yaml"),
        (("labels", "surplus"), "surplus"),
        (("labels", "--capture", "a", "--capture", "b"), "--capture is given twice"),
        (("check", "--root", "/", "a", "b"), "exclude each other"),
        (("check", "a", ""), "--capture is empty"),
        (("check", "--root", ""), "--root is empty"),
        (("check", "--capture", ""), "--capture is empty"),
        (("run", "--period", "nan"), "must be a number of seconds from 0.05 to 86400"),
        (("run", "--period", "1e10"), "must be a number of seconds"),
        (("run", "--node-name", " "), "is no node's name"),
    ],
)
def test_a_wrong_word_ends_with_2_and_names_the_nearest(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check", "--root", "/nowhere"), "cannot open the root /nowhere: No such file"),
        (("check", "--capture", "/nowhere"), "cannot open the capture /nowhere: No such file"),
        (("topology", "--capture", "/nowhere"), "cannot open the capture /nowhere: No such file"),
        (("labels", "--capture", "/nowhere"), "cannot open the capture /nowhere: No such file"),
        (("capture", "--capture", "/nowhere", "/nowhere/new"), "cannot open the capture /nowhere"),
    ],
)
def test_a_host_that_cannot_be_opened_ends_with_3(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 3
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("profil: snp\n", "1: unknown key 'profil'\n  try: did you mean profile?"),
        ("mode: on\n\nprofile: snpgpu\n", "3: profile: unknown profile 'snpgpu'\n  try: did you"),
        ("profile: [snp]\n", "1: profile must be one value"),
        ("profile:\n", "1: profile must be a string"),
        ("mode: on\nmode: off\n", "2: mode stands twice"),
        ("mode: off\nperiod_s: soon\n", "2: period_s must be a number of seconds"),
        ("holders: evicted\n", "1: holders: unknown holders 'evicted'\n  try: did you mean evict?"),
        ("evict_unmanaged: 1\n", "1: evict_unmanaged must be true or false"),
        ("pod_resources: ''\n", "1: pod_resources must be the path of a file"),
        ("period_s: !!bool maybe\n", "1: period_s is no value that YAML knows"),
        ("period_s: 2026-13-45\n", "1: period_s is no value that YAML knows"),
        ("period_s: " + "1" * 5000, "1: period_s is no value that YAML knows"),
        ("prefix: nodeagent.io\n", "1: prefix must be a DNS name and a slash"),
        ("prefix: nvidia.com/\n", "1: prefix belongs to others"),
        ("prefix: -x.io/\n", "1: prefix must be a DNS name in small letters"),
        ("sink: feature.d\n", "1: sink: unknown sink 'feature.d'"),
        ("features_d: ../etc\n", "1: features_d must be the whole path of a folder"),
        ("textfile: /run/x\n", "1: textfile must be the whole path of a file that ends in .prom"),
        ("health: foo\n", "1: health must be HOST:PORT"),
        ("require_floors: 1\n", "1: require_floors must be true or false"),
        ("guest_memory: 64G\n", "1: guest_memory must be a size such as 64Gi"),
        ("guest_memory: 0Gi\n", "1: guest_memory must be a size such as 64Gi"),
        ("guest_memory: true\n", "1: guest_memory must be a string"),
        ("floors: ''\n", "1: floors must be the path of a file"),
        ("- a\n", "1: must be keys and values"),
        ("mode: on\na: [\n", "3: is no YAML: "),
        ("mode: on\n\thealth: x\n", "2: is no YAML: "),
        ("a: &a [*a]\nb: {", "2: is no YAML: "),
        ("mode: on\nhealth: \x07\n", "2: is no YAML: special characters are not allowed"),
    ],
)
def test_a_wrong_configuration_names_line_and_key(
    text: str, said: str, hosts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)

    assert run("check", "--capture", hosts / "genoa-ready", "--config", file) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"nodeagent: {file}:{said}")
    assert "byte string" not in told


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "announce: false leaves nothing to say by sink: api"),
        ({"sink": "features.d", "taint": True}, "taint needs an API server"),
        ({"sink": "features.d", "authority": True}, "authority needs an API server"),
    ],
)
def test_who_asks_no_api_server_can_ask_nothing_of_it(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        config.checked(config.Config(announce=False, **keys))


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n", "{}\n"])
def test_a_configuration_may_be_empty(text: str) -> None:
    assert config.parse(text.encode(), "c") == config.Config()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("floors: /nowhere/floors.yaml\n", "cannot read the floors /nowhere/floors.yaml"),
        ("floors: {file}\n", "{file}:1: has no version"),
        ("floors_key: /nowhere\n", "floors_key is set and floors is not"),
    ],
)
def test_floors_that_a_configuration_cannot_mean_are_named(
    text: str, said: str, hosts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text.replace("{file}", str(file)))

    assert run("check", "--capture", hosts / "genoa-ready", "--config", file) == 2
    assert said.format(file=file) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "size"),
    [("64Gi", 64 << 30), ("512Mi", 512 << 20), ("1Ti", 1 << 40), ("4096", 4096)],
)
def test_a_guests_memory_is_in_bytes(text: str, size: int) -> None:
    assert config.parse(f"guest_memory: {text}".encode(), "c").guest_memory == size


def test_a_strangers_key_does_not_reach_the_terminal_raw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "host.json").write_text('{"version": 1, "\\u001b[31mred": 1}')

    assert run("check", "--capture", tmp_path) == 3
    assert "host.json: ?[31mred: is no known key" in capsys.readouterr().err


def test_the_command_line_wins_over_the_configuration(hosts: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("profile: snp\nmode: on\n")
    host = hosts / "genoa-gpu-off"

    assert run("check", "--config", file, "--capture", host) == 0
    assert run("check", "--config", file, "--profile", "gpu", "--capture", host) == 1


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    group = capsys.readouterr().out
    assert "Exit codes:" in group
    for name in commands():
        assert f"  {name} " in group
        assert run(name, "--help") == 0
        assert "Example" in capsys.readouterr().out


def test_labels_prints_what_would_be_published(
    hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run("labels", "--capture", hosts / "genoa-ready", "--publish-simulated", "-o", "json") == 0
    )
    published = json.loads(capsys.readouterr().out)
    assert published["labels"]["nodeagent.io/ready"] == "true"
    assert published["labels"]["nodeagent.io/gpu.cc-mode"] == "on"

    assert run("labels", "--capture", hosts / "genoa-ready", "-o", "json") == 0
    unasked = json.loads(capsys.readouterr().out)["labels"]
    assert "nodeagent.io/ready" not in unasked
    assert unasked["nodeagent.io/simulated"] == "true"


@pytest.mark.parametrize(
    ("before", "typed", "offered"),
    [
        ((), "chec", ["check"]),
        (("check",), "--prof", ["--profile"]),
        (("check", "--profile"), "s", ["snp-gpu", "snp"]),
        (("check", "--mode"), "", ["on", "off", "devtools", "ppcie"]),
        (("explain",), "bios-smee", ["BIOS_SMEE_OFF"]),
        (("completion",), "", ["bash", "zsh", "fish"]),
        (("labels", "-o"), "j", ["json"]),
        (("nonsense",), "--root", []),
    ],
)
def test_words_are_completed(before: tuple[str, ...], typed: str, offered: list[str]) -> None:
    completer = BashComplete(cli, {}, "nodeagent", "_NODEAGENT_COMPLETE")

    assert [each.value for each in completer.get_completions(list(before), typed)] == offered


def test_a_path_is_left_to_the_shell() -> None:
    completer = BashComplete(cli, {}, "nodeagent", "_NODEAGENT_COMPLETE")

    kinds = [
        each.type
        for option in ("--root", "--capture", "--config")
        for each in completer.get_completions(["check", option], "/x")
    ]

    assert kinds == ["dir", "file", "file"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_says_how_to_install_it(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("completion", shell) == 0
    out = capsys.readouterr().out
    assert f"#   nodeagent completion {shell} > /" in out
    assert shell != "zsh" or out.startswith("#compdef nodeagent\n")
