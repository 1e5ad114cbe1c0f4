"""Keeps the two files on the node true: `status` and `history` read them without the API."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from nodeagent import diary
from nodeagent.errors import AgentError
from nodeagent.model.cluster import Queue, Wait
from nodeagent.model.status import (
    MOST_CHARS,
    Api,
    Asked,
    Authority,
    Blocked,
    Entry,
    Status,
    Switching,
    Verdict,
)
from nodeagent.plan.cluster import shall_switch
from nodeagent.publish.apiserver import rfc3339, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from nodeagent.agent.duty import Next
    from nodeagent.labels import Condition
    from nodeagent.model.cluster import Note

_CAUSE_CHARS = 400
NOBODY = Authority(who="nobody: this agent is not told to switch")
US = Authority(is_ours=True, who="this agent")

log = logging.getLogger(__name__)


class Journal:
    """Nothing depends on it: where its folders cannot be written, it keeps silent.

    A file is written when it says something new; a sign of life is the time of the file alone.
    Of two agents on a node the one that was there first tells.
    """

    def __init__(
        self,
        folder: str | None,
        kept: str | None = None,
        status: Status = Status(),  # noqa: B008 - it cannot change
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`folder` None: nowhere. `kept`: for what must survive a reboot; else in `folder`."""
        self._folder = folder
        self._homes = [each for each in (kept, folder) if each is not None] if folder else []
        self._now = now
        self._lock = threading.Lock()
        self._status = status._replace(agent=status.agent._replace(since=rfc3339(now())))
        self._written: Status | None = None
        self._left: tuple[int, int] | None = None
        self._entries: list[Entry] = []
        self._is_noted = True
        self._base = 0
        self._trouble = ""
        for each in self._homes:
            diary.make(each)
        if folder is not None:
            self._recall(folder)

    def _recall(self, folder: str) -> None:
        """What an earlier agent left: since when something is so outlives a restart."""
        try:
            told = diary.read_status(folder)
            history = diary.read_history(self._homes)
        except AgentError as error:
            log.debug("%s", error)
            return
        if told and told.status.agent.boot_id == self._status.agent.boot_id:
            before = told.status
            self._status = self._status._replace(
                verdict=before.verdict, switch=before.switch, blocked=before.blocked, api=before.api
            )
        if history:
            self._entries = history[0]

    # What the agent tells.

    def looked(self, condition: Condition, wanted: Asked) -> None:
        at, was = rfc3339(self._now()), self._status.verdict
        verdict = Verdict(
            condition.status.value, condition.reason, condition.message[:MOST_CHARS], at
        )
        before = " ".join(filter(None, (was.status, was.reason))) or self._last("condition")
        now = f"{verdict.status} {verdict.reason}"
        if (was.status, was.reason) == (verdict.status, verdict.reason):
            verdict = verdict._replace(since=was.since)
        elif now != before:
            self._enter("condition", before, now, cause=condition.message)
        self._status = self._status._replace(verdict=verdict, wanted=wanted)

    def _last(self, what: str) -> str:
        return next((each.now for each in reversed(self._entries) if each.what == what), "")

    def heard(self, trouble: str, *, is_asked: bool = True) -> None:
        """Of the API server: empty where it answers."""
        if not is_asked:
            self._status = self._status._replace(api=Api())
            return
        was, is_there = self._status.api, not trouble
        if was.reachable is is_there:
            self._status = self._status._replace(api=was._replace(error=trouble[:MOST_CHARS]))
            return
        words = {True: "reachable", False: "away", None: ""}
        if was.reachable is not None or trouble:
            self._enter("api", words[was.reachable], words[is_there], cause=trouble)
        now = rfc3339(self._now())
        self._status = self._status._replace(api=Api(is_there, now, trouble[:MOST_CHARS]))

    def stands(self, authority: Authority, ahead: Next | None, *, is_due: bool) -> None:
        """What comes next. `ahead` None where the Node is not known: then nothing is switched."""
        switch, by = self._status.switch, ""
        if ahead is not None:
            switch, by = _switch(ahead), _blocked(ahead)
        elif self._status.api.reachable is False and (is_due or switch is not None):
            by = "the API server, which cannot be asked" if authority.is_ours else ""
        before = self._status.switch
        if switch is not None and before is not None and before.started == switch.started:
            most = max(before.of, switch.of)
            switch = switch._replace(done=max(0, most - switch.of), of=most)
        self._status = self._status._replace(switch=switch, authority=authority)
        self._block(by)

    def waits(self, by: str) -> None:
        self._block(by)
        self.flush()

    def _block(self, by: str) -> None:
        was = self._status.blocked
        if not by:
            self._status = self._status._replace(blocked=None)
            return
        since = was.since if was else rfc3339(self._now())
        if was is None:
            about = self._status.switch or Switching()
            self._enter("switch", about.was, about.want, by=about.by, result="waiting", cause=by)
        self._status = self._status._replace(blocked=Blocked(by[:MOST_CHARS], since))

    def began(self, note: Note) -> None:
        self._enter("switch", note.was, note.want, by=note.asked_by, result="started")
        self.flush()

    def ended(self, note: Note, result: str, seconds: int) -> None:
        self._enter(
            "switch",
            note.was,
            note.want,
            by=note.asked_by,
            seconds=seconds,
            result=result,
            cause=note.failed,
        )
        self._status = self._status._replace(switch=None, blocked=None)
        self.flush()

    def changes(self, note: Note, count: int) -> None:
        """The devices' part begins, with so many still to be changed."""
        before = self._status.switch
        of = max(count, before.of) if before and before.started == note.started else count
        self._base = of - count
        switch = Switching(note.was, note.want, note.asked_by, note.started, "", self._base, of)
        self._status = self._status._replace(switch=switch, blocked=None)
        self.flush()

    def steps(self, step: str, done: int) -> None:
        """How far it is, from a thread of its own."""
        switch = self._status.switch
        if switch is not None:
            done = min(self._base + done, switch.of)
            self._status = self._status._replace(switch=switch._replace(step=step, done=done))
            self.flush()

    def drifted(self, line: str) -> None:
        self._enter("drift", cause=line)

    def _enter(  # noqa: PLR0913 - the fields of an entry
        self,
        what: str,
        was: str = "",
        now: str = "",
        *,
        by: str = "",
        seconds: int | None = None,
        result: str = "",
        cause: str = "",
    ) -> None:
        at = rfc3339(self._now())
        entry = Entry(at, what, str(was), str(now), by, seconds, result, cause[:_CAUSE_CHARS])
        self._entries = [*self._entries, entry][-diary.MOST :]
        self._is_noted = False

    # The files.

    def flush(self) -> None:
        """Write what is new, and give a sign of life. Never raises."""
        if self._folder is None:
            return
        with self._lock:
            try:
                self._write(self._folder)
            except OSError as error:
                if str(error) != self._trouble:
                    log.debug("status and history are not kept: %s", error)
                self._trouble = str(error)

    def _write(self, folder: str) -> None:
        path = os.path.join(folder, diary.STATUS)
        left = _identity(path)
        if left is not None and left != self._left and self._is_told_by_another(folder):
            return
        if not self._is_noted:
            self._note(self._entries)
        if left is not None and left == self._left and self._status == self._written:
            os.utime(path, follow_symlinks=False)
            return
        written = self._status
        diary.write_status(folder, written)
        self._written, self._left = written, _identity(path)

    def _note(self, entries: Sequence[Entry]) -> None:
        """In the first folder that takes it."""
        for folder in self._homes:
            try:
                diary.write_history(folder, entries)
            except OSError as error:
                log.debug("the history is not kept in %s: %s", folder, error)
            else:
                self._is_noted = entries is self._entries
                return
        self._is_noted = True  # nowhere: the next transition tries again

    def _is_told_by_another(self, folder: str) -> bool:
        try:
            told = diary.read_status(folder)
        except AgentError:
            return False
        if told is None or not told.is_alive:
            return False
        ours, theirs = self._status.agent, told.status.agent
        return (ours.pid, ours.started, ours.namespace) != (
            theirs.pid,
            theirs.started,
            theirs.namespace,
        )


def _identity(path: str) -> tuple[int, int] | None:
    """Which file it is; another one, or one that somebody wrote into, is not as we left it."""
    try:
        seen = os.lstat(path)
    except OSError:
        return None
    return seen.st_ino, seen.st_size


def _switch(ahead: Next) -> Switching | None:
    now, step = ahead.standing, ahead.step
    note = now.note or (ahead.begin if shall_switch(now) else None)
    if note is None:
        return None
    says = step.says if isinstance(step, Wait) else str(step or "")
    started = note.started if now.note else ""
    return Switching(note.was, note.want, note.asked_by, started, says, of=len(now.unsettled))


def _blocked(ahead: Next) -> str:
    """By whom, in words; empty where nothing keeps us from what is wanted."""
    now, step = ahead.standing, ahead.step
    if isinstance(step, Wait) and step.is_blocked:
        return step.says
    if isinstance(step, Queue) and step.says:
        return step.says
    is_due = bool(now.want and now.unsettled)
    return now.refused if is_due and now.note is None else ""
