"""Watching: a look that shows nothing new is not drawn, and a change is named."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.cli import watching
from nodeagent.cli.watching import Shot, follow, said
from nodeagent.errors import HostError
from nodeagent.report.changes import changes
from tests.unit.command import run
from tests.unit.looks import judged

Drawn = list[tuple[str, str | None]]


class _Stage:
    """Looks that are planned ahead; after the last one somebody presses Ctrl-C."""

    def __init__(self, *looks: str | HostError, reads: bool = True) -> None:
        self._looks: Iterator[str | HostError] = iter(looks)
        self._left = len(looks)
        self._reads = reads
        self.drawn: Drawn = []

    def look(self) -> Shot:
        self._left -= 1
        found = next(self._looks)
        if isinstance(found, HostError):
            raise found
        return Shot(found, None, {"ready": 0, "broken": 1, "blind": 4}[found])

    def show(self, new: Shot, old: Shot | None) -> bool:
        self.drawn.append((new.text, old and old.text))
        return self._reads

    def wait(self) -> None:
        if not self._left:
            raise KeyboardInterrupt

    def play(self) -> int:
        return follow(self.look, self.show, self.wait)


def test_only_a_change_is_drawn() -> None:
    stage = _Stage("ready", "ready", "broken", "broken", "ready")

    stage.play()

    assert stage.drawn == [("ready", None), ("broken", "ready"), ("ready", "broken")]


@pytest.mark.parametrize(
    ("looks", "code"),
    [(["ready"], 0), (["ready", "broken"], 1), (["broken", "ready"], 0), (["ready", "blind"], 4)],
)
def test_ctrl_c_ends_it_with_the_last_verdicts_code(looks: list[str], code: int) -> None:
    assert _Stage(*looks).play() == code


def test_a_host_that_goes_away_is_shown_and_looked_for_again() -> None:
    stage = _Stage("ready", HostError("cannot open it", hint="mount it"), "ready")

    assert stage.play() == 0
    assert [text for text, _ in stage.drawn][1] == "CANNOT LOOK\n  cannot open it\n  try: mount it"
    assert _Stage("ready", HostError("gone")).play() == 3


def test_a_host_that_is_not_there_at_first_is_an_error() -> None:
    with pytest.raises(HostError):
        _Stage(HostError("gone")).play()


def test_it_ends_when_nobody_reads_any_more() -> None:
    stage = _Stage("broken", "ready", "broken", reads=False)

    assert stage.play() == 1
    assert len(stage.drawn) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "genoa-ready",
            "genoa-iommu-pt",
            "not-ready (was ready); enabled fail (was pass);",
        ),
        ("genoa-smee-off", "genoa-iommu-pt", "IOMMU_PASSTHROUGH_OR_OFF (was BIOS_SMEE_OFF)"),
        ("genoa-gpu-off", "genoa-ready", "ready (was not-ready); gpu pass (was fail); gpu.mode"),
        ("genoa-no-gpu", "genoa-gpu-off", "GPU_MODE_OFF (was NO_GPU)"),
        ("genoa-ready", "genoa-ready", "the same verdicts in other words"),
    ],
)
def test_what_changed_is_said_in_words(old: str, new: str, said: str, hosts: Path) -> None:
    assert changes(judged(hosts / old), judged(hosts / new)).startswith(said)


def test_a_report_longer_than_the_terminal_keeps_its_head(
    hosts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching, "terminal_size", lambda: (80, 12))
    text = "\n".join(f"line {n}" for n in range(100))

    assert watching.draw(Shot(text, judged(hosts / "genoa-ready"), 0), None)

    drawn = capsys.readouterr().out
    assert drawn.startswith("\x1b[H\x1b[2Jline 0\n")
    assert "… 93 more lines" in drawn
    assert drawn.count("\n") <= 12
    assert "first look" in drawn


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--every", "5"), "--every is of --watch"),
        (("--watch", "--every", "0.4"), "at least 0.5 seconds"),
        (("--watch", "--every", "nan"), "must be a number of seconds"),
        (("--watch", "a", "b"), "--watch looks at one host"),
        (("--watch", "--compare", "a"), "--watch looks at one host"),
    ],
)
def test_what_cannot_be_watched_is_said(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", *words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("words", "waits"), [((), [2.0]), (("--every", "5"), [5.0])])
def test_documents_follow_one_another_and_nothing_else(
    words: tuple[str, ...],
    waits: list[float],
    hosts: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)

    assert run("check", "--watch", *words, "-o", "json", hosts / "genoa-iommu-pt") == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "not-ready"
    assert waited == waits


def test_a_host_that_is_gone_or_back_is_said(hosts: Path) -> None:
    seen, gone = Shot("READY", judged(hosts / "genoa-ready"), 0), Shot("CANNOT LOOK", None, 3)

    assert said(gone, seen) == "it cannot be read"
    assert said(seen, gone) == "it can be read again"


def test_a_terminal_of_another_size_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = _Stage("ready", "ready")
    monkeypatch.setattr(watching, "terminal_size", lambda: (80 + len(stage.drawn), 24))

    stage.play()

    assert stage.drawn == [("ready", None), ("ready", "ready")]
