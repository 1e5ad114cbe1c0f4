"""Tells how far a switch is while it goes on, from a thread of its own: no device waits for it."""

import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from nodeagent.agent.converge import Told
from nodeagent.errors import AgentError
from nodeagent.model.cluster import Note
from nodeagent.model.switching import Await, Bind, Reset, Rest, Stage, Step, Unbind

EVERY_S = 0.5
_DOING: dict[type[Step], str] = {
    Unbind: "unbinding",
    Stage: "staging",
    Reset: "resetting",
    Await: "booting",
    Bind: "binding",
    Rest: "done",
}


class Narrator:
    """`told` takes in what the devices do; `says` gets a sentence about it now and then."""

    def __init__(
        self, note: Note, says: Callable[[str], None], *, every_s: float = EVERY_S
    ) -> None:
        self._note, self._says, self._every_s = note, says, every_s
        self._doing: dict[str, str] = {}
        self._news = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="narrator", daemon=True)
        self.told = Told(begins=self._begins, ended=self._ended)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._news.set()
        self._thread.join()

    def _begins(self, step: Step) -> None:
        doing = _DOING.get(type(step))
        if doing and self._doing.get(step.bdf) != doing:
            self._doing[step.bdf] = doing
            self._news.set()

    def _ended(self, step: Step, error: AgentError | None) -> None:
        if error is not None:
            self._doing[step.bdf] = "failed"
            self._news.set()

    def _tell(self) -> None:
        while not self._end.is_set():
            self._news.wait()
            self._news.clear()
            if self._end.is_set():
                return
            self._says(self.sentence)
            self._end.wait(self._every_s)

    @property
    def done(self) -> int:
        return sum(doing == "done" for doing in self._doing.copy().values())

    @property
    def sentence(self) -> str:
        """`switching from off to on: 5 resetting, 3 booting`."""
        counted = Counter(self._doing.copy().values())
        parts = [
            f"{counted[word]} {word}" for word in (*_DOING.values(), "failed") if counted[word]
        ]
        head = f"switching from {self._note.was or 'unlike modes'} to {self._note.want}"
        return f"{head}: {', '.join(parts)}" if parts else head
