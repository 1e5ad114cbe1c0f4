"""The options that say which host is looked at and what is asked of it."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from nodeagent import config as settings
from nodeagent.config import Config
from nodeagent.errors import UsageError
from nodeagent.model.words import CcMode, Profile
from nodeagent.seams import Machine

if TYPE_CHECKING:
    from pathlib import Path

    from click.shell_completion import CompletionItem

    from nodeagent.host.sev import Psp
    from nodeagent.model.policy import Policy
    from nodeagent.seams import Changeable


@dataclass(frozen=True)
class Chosen:
    """The host and the question, after configuration file and command line."""

    root: str | None
    capture: str | None
    config: Config
    may_wake: bool = True
    """Whether an idle GPU may be woken for a look, and put back to sleep after it."""
    more: tuple[str, ...] = ()
    """Further captures, of a command that takes several."""
    sim: str | None = None
    """The socket of a simulated machine."""
    is_mode_given: bool = False
    """Whether the wanted mode was named on this command line, or in a file named there."""

    def each(self) -> "list[tuple[str, Chosen]]":
        """Every capture by itself, with its path."""
        paths = (self.capture, *self.more) if self.capture is not None else self.more
        return [(path, replace(self, capture=path, more=())) for path in paths]

    @property
    def again(self) -> str:
        """The words that choose the same place once more, as a shell reads them."""
        from shlex import join  # noqa: PLC0415 - for one line of a report

        place = {"--root": self.root, "--capture": self.capture, "--sim": self.sim}
        return join(word for option, path in place.items() if path for word in (option, path))

    @property
    def profile(self) -> Profile:
        return self.config.profile

    @property
    def mode(self) -> CcMode | None:
        return self.config.mode

    def open(self) -> AbstractContextManager[Machine]:
        """The machine for the length of the block. Only what is used is imported."""
        if self.capture is not None:
            from nodeagent.capture.archive import open_capture  # noqa: PLC0415

            return open_capture(self.capture)
        if self.sim is not None:
            from nodeagent.sim.remote import connect  # noqa: PLC0415

            return closing(connect(self.sim))
        from nodeagent.host.live import LiveMachine  # noqa: PLC0415

        return closing(LiveMachine(self.root or "/", self._psp))

    @contextmanager
    def awake(self) -> Iterator[Machine]:
        """The machine for a look: what idles is awake meanwhile, where that is ours to do."""
        with self.open() as machine:
            if not self.may_wake or not self._is_for_us_to_wake(machine):
                yield machine
                return
            from nodeagent.agent.waking import awake  # noqa: PLC0415 - few hosts have one asleep

            with self.changing() as changing, awake(changing, self.state):
                yield machine

    def settle(self) -> None:
        """Give back what a program that died took: a device it removed would not be counted."""
        if self._owes():
            with self.awake():
                pass

    def _is_for_us_to_wake(self, machine: Machine) -> bool:
        """Something sleeps or is owed, and we may write."""
        if self.capture is not None or (self.sim is None and os.geteuid() != 0):
            return False
        from nodeagent.facts import pci  # noqa: PLC0415 - not for captures

        return pci.is_any_silent(machine) or self._owes()

    def _owes(self) -> bool:
        try:
            return any(name.endswith(".owed") for name in os.listdir(self.state))
        except OSError:
            return False

    def changing(self) -> "AbstractContextManager[Changeable]":
        """The machine, to be changed. UsageError of a capture: nothing happens there any more."""
        if self.capture is not None:
            raise UsageError("a capture cannot be changed", hint="`nodeagent plan` takes one")
        if self.sim is not None:
            from nodeagent.sim.remote import connect  # noqa: PLC0415

            return closing(connect(self.sim))
        from nodeagent.host.changing import ChangingMachine  # noqa: PLC0415

        return closing(ChangingMachine(self.root or "/", self._psp))

    @property
    def state(self) -> "Path":
        """The folder of locks and debts: of a simulated machine it lies beside its socket."""
        from pathlib import Path  # noqa: PLC0415 - few looks have use for it

        if self.sim is not None:
            return Path(self.sim).absolute().parent / "run"
        return Path(self.root or "/") / "run" / "nodeagent"

    @functools.cached_property
    def policy(self) -> "Policy":
        """What the site demands; its floors are read and verified once, UsageError if off."""
        from nodeagent import floors  # noqa: PLC0415 - most commands judge nothing
        from nodeagent.model.policy import Policy  # noqa: PLC0415

        config = self.config
        path, key = config.floors, config.floors_key
        if key and not path:
            raise UsageError("floors_key is set and floors is not", hint="which file is signed?")
        return Policy(
            require_floors=config.require_floors,
            guest_bytes=config.guest_memory,
            floors=floors.load(path, key) if path else floors.shipped(),
            accepted=config.accept,
        )

    @functools.cached_property
    def _psp(self) -> "Psp":
        """One for all looks of this process: it is asked every few minutes at most."""
        from nodeagent.host.sev import Psp  # noqa: PLC0415

        return Psp()


_Complete = Callable[[click.Context, click.Parameter, str], "list[CompletionItem[str]]"]


def complete_with(*words: str) -> _Complete:
    """For an option whose value is checked elsewhere: what a shell may put there."""

    def complete(
        _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only when completing

        return [CompletionItem(word) for word in words if word.startswith(incomplete)]

    return complete


def complete_path(kind: str) -> _Complete:
    """Names of files, or of folders alone (`dir`), as the shell itself finds them."""

    def complete(
        _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem  # noqa: PLC0415

        return [CompletionItem(incomplete, type=kind)]

    return complete


_PLACE = (
    click.option(
        "--root",
        metavar="DIR",
        help="The live host mounted at DIR (/host in a pod).",
        shell_complete=complete_path("dir"),
    ),
    click.option(
        "--capture",
        "captures",
        metavar="PATH",
        multiple=True,
        help="A captured host: a folder or a .tar.gz.",
        shell_complete=complete_path("file"),
    ),
    click.option(
        "--sim",
        metavar="SOCKET",
        help="A simulated machine, as `nodeagent sim serve` offers it.",
        shell_complete=complete_path("file"),
    ),
)
_OPTIONS = (
    *_PLACE,
    click.option(
        "--profile",
        metavar="WORD",
        help="What ready means: snp-gpu, snp or gpu.",
        shell_complete=complete_with(*Profile),
    ),
    click.option(
        "--mode",
        metavar="WORD",
        help="The wanted GPU mode: on or ppcie; off and devtools are never ready.",
        shell_complete=complete_with(*CcMode),
    ),
    click.option(
        "--config",
        "config_path",
        metavar="FILE",
        help="Settings instead of /etc's.",
        shell_complete=complete_path("file"),
    ),
    click.option(
        "--no-wake",
        is_flag=True,
        help="Let idle GPUs sleep: what a sleeping one would say is then unknown.",
    ),
)


def host_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the argument `chosen` in place of the options themselves."""
    return _with_options(command, several=False)


def hosts_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same, for a command that takes any number of captures."""
    wrapped = _with_options(command, several=True)
    return click.argument(
        "paths", metavar="[CAPTURE]...", nargs=-1, shell_complete=complete_path("file")
    )(wrapped)


def _with_options(command: Callable[..., Any], *, several: bool) -> Callable[..., Any]:
    @functools.wraps(command)
    def wrapped(  # noqa: PLR0913 - one for each option
        *args: Any,  # noqa: ANN401
        root: str | None,
        captures: tuple[str, ...],
        sim: str | None,
        profile: str | None,
        mode: str | None,
        config_path: str | None,
        no_wake: bool,
        paths: tuple[str, ...] = (),
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        together = bool(kwargs.get("compare"))
        first, more = _captures(root, (*captures, *paths), several=several, together=together)
        _demand_one_place(sim, root, first)
        config = _settings(config_path, profile, mode)
        is_given = mode is not None or (config_path is not None and config.mode is not None)
        chosen = Chosen(
            root,
            first,
            config,
            may_wake=not no_wake,
            more=more,
            sim=sim,
            is_mode_given=is_given,
        )
        return command(*args, chosen=chosen, **kwargs)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a command that asks nothing of the host's state: no settings are read."""

    @functools.wraps(command)
    def wrapped(
        *args: Any,  # noqa: ANN401
        root: str | None,
        captures: tuple[str, ...],
        sim: str | None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        capture, _ = _captures(root, captures)
        _demand_one_place(sim, root, capture)
        return command(*args, chosen=Chosen(root, capture, Config(), sim=sim), **kwargs)

    for option in reversed(_PLACE):
        wrapped = option(wrapped)
    return wrapped


def _captures(
    root: str | None, captures: tuple[str, ...], *, several: bool = False, together: bool = False
) -> tuple[str | None, tuple[str, ...]]:
    """The first, if any, and the rest; `together`: a live host may stand beside a capture."""
    first = captures[0] if captures else None
    if captures[1:] and not several:
        raise UsageError("--capture is given twice", hint="`nodeagent check` takes several")
    if root is not None and first is not None and not together:
        raise UsageError("--root and --capture exclude each other", hint="give one of them")
    if root == "":
        raise UsageError("--root is empty", hint="an unset variable of the shell?")
    if "" in captures:
        raise UsageError("--capture is empty", hint="an unset variable of the shell?")
    return first, captures[1:]


def _demand_one_place(sim: str | None, root: str | None, capture: str | None) -> None:
    if sim == "":
        raise UsageError("--sim is empty", hint="an unset variable of the shell?")
    if sim is not None and (root is not None or capture is not None):
        raise UsageError("--sim excludes --root and --capture", hint="give one of them")


def _settings(path: str | None, profile: str | None, mode: str | None) -> Config:
    found = settings.load(path)
    return replace(
        found,
        profile=settings.profile(profile) if profile is not None else found.profile,
        mode=settings.mode(mode) if mode is not None else found.mode,
    )


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "-o",
        "--output",
        type=Words("table", "json", "yaml"),
        default="table",
        show_default=True,
        metavar="table|json|yaml",
        help="How to print it.",
    )(command)


class Seconds(click.ParamType):  # type: ignore[type-arg] # a subscript needs click 8.2
    """A period, held to the same bounds as the configuration's."""

    name = "seconds"

    def __init__(self, *, least: float = 0.0) -> None:
        self._least = least

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            seconds = settings.period(float(str(value)))
        except ValueError as error:
            return self.fail(f"{value!r}: {error}", param, ctx)
        if seconds < self._least:
            return self.fail(f"{value!r}: at least {self._least} seconds", param, ctx)
        return seconds


class Words(click.ParamType):  # type: ignore[type-arg] # a subscript needs click 8.2
    """One of a few words; anything else names the nearest."""

    name = "word"

    def __init__(self, *words: str) -> None:
        self._words = words

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        if value in self._words:
            return str(value)
        from nodeagent.errors import nearest  # noqa: PLC0415 - only for a typo

        guess = nearest(str(value), self._words)
        hint = f"did you mean {guess}?" if guess else f"known: {', '.join(self._words)}"
        return self.fail(f"{value!r} is not known; {hint}", param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        return complete_with(*self._words)(ctx, param, incomplete)
