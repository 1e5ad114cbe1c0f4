"""The pause token: what others wrote comes back as it was, and no value is ever illegal."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.model import pause

OTHERS = ("paused-for-cc-mode-change", "paused-for-driver-upgrade", "paused-for-mig-change")
LEGAL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")

values = st.from_regex(LEGAL, fullmatch=True) | st.sampled_from(["true", "pre-installed", *OTHERS])


@pytest.mark.parametrize(
    ("value", "paused"),
    [
        ("true", "paused-by-nodeagent"),
        ("pre-installed", "pre-installed_paused-by-nodeagent"),
        (OTHERS[0], f"{OTHERS[0]}_paused-by-nodeagent"),
        ("paused-by-nodeagents", "paused-by-nodeagents_paused-by-nodeagent"),
        ("paused-by-nodeagent", "paused-by-nodeagent"),
        (f"paused-by-nodeagent_{OTHERS[1]}", f"paused-by-nodeagent_{OTHERS[1]}"),
        ("false", "false"),
        ("", ""),
    ],
)
def test_only_what_runs_is_paused(value: str, paused: str) -> None:
    assert pause.pause(value) == paused


@pytest.mark.parametrize(
    ("value", "restored"),
    [
        ("paused-by-nodeagent", "true"),
        ("pre-installed_paused-by-nodeagent", "pre-installed"),
        (f"paused-by-nodeagent_{OTHERS[0]}", OTHERS[0]),
        (f"{OTHERS[0]}_paused-by-nodeagent_{OTHERS[2]}", f"{OTHERS[0]}_{OTHERS[2]}"),
        ("paused-by-nodeagent_paused-by-nodeagent", "true"),
        ("paused-by-nodeagent_-_paused-by-nodeagent", "true"),
        ("true_paused-by-nodeagent", "true"),
        ("paused-by-nodeagents_paused-by-nodeagent", "paused-by-nodeagents"),
        (OTHERS[0], OTHERS[0]),
        ("paused-by-nodeagents", "paused-by-nodeagents"),
        ("true", "true"),
        ("false", "false"),
        ("", ""),
    ],
)
def test_only_our_token_is_taken_back(value: str, restored: str) -> None:
    assert pause.restore(value) == restored


@given(values)
def test_what_was_paused_comes_back_as_it_was(value: str) -> None:
    try:
        paused = pause.pause(value)
    except pause.TooLongError:
        assert len(value) + 1 + len(pause.TOKEN) > 63
        return
    assert pause.restore(paused) == value


@given(values)
def test_nothing_illegal_is_ever_written(value: str) -> None:
    written = [pause.restore(value)]
    with contextlib.suppress(pause.TooLongError):
        written.append(pause.pause(value))
    assert all(LEGAL.fullmatch(each) for each in written)


@given(st.lists(st.sampled_from([*OTHERS, pause.TOKEN, "true", "a"]), min_size=1, max_size=5))
def test_other_tokens_keep_their_order(words: list[str]) -> None:
    others = "_".join(word for word in words if word != pause.TOKEN)
    assert pause.restore("_".join(words)) == (others or "true")


@pytest.mark.parametrize("other", OTHERS)
def test_one_other_token_leaves_room(other: str) -> None:
    assert pause.pause(other) == f"{other}_{pause.TOKEN}"


def test_two_other_tokens_may_leave_none() -> None:
    value = "_".join(OTHERS[:2])
    with pytest.raises(pause.TooLongError, match=value):
        pause.pause(value)


def test_the_token_is_no_part_of_another() -> None:
    assert len(pause.TOKEN) <= 20
    assert not any(pause.TOKEN in other or other in pause.TOKEN for other in OTHERS)
