"""Judges containerd: its age, its handler for such pods, and the handler's snapshotter."""

from nodeagent.checks.wanted import SHOWN, dotted, unread, wanted
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, bad, ok, warn
from nodeagent.model.runtime import Containerd, Handler, NodeSays, at_least, release
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable


def containerd(facts: Facts) -> tuple[Outcome, ...]:
    found = facts.runtime.containerd
    version = release(found.version) if found else None
    if found is None or found.name != "containerd" or version is None:
        return ()
    seen = f"containerd {printable(str(found.version), 30)}"
    validated = wanted().containerd
    if at_least(version, validated):
        return (ok(seen),)
    seen = f"{seen}; {dotted(validated)} is what NVIDIA validated"
    return (warn(Code.RUNTIME_TOO_OLD, seen),)


def handler(facts: Facts) -> tuple[Outcome, ...]:
    """The Node shows what containerd runs with; its files, what it would start with next."""
    found = facts.runtime.containerd
    if found is None:
        return ()
    node = facts.runtime.node
    files = _handlers(found)
    if node is None or not node.handlers:
        return (_configured(found, files),)
    running = sorted(name for name in node.handlers if _is_named(name))
    known = [each for each in files if each.name in node.handlers]
    if known:
        return (_pointing(known[0]),)
    if running:
        return (ok(f"the Node shows the handler {printable(running[0], SHOWN)}"),)
    if files:
        name = printable(files[0].name, SHOWN)
        seen = f"handler {name} is configured, but the Node does not show it"
        return (bad(Code.RUNTIME_NOT_PREPARED, f"{seen}: restart {found.name}"),)
    if found.closed and not knows_no_kata(node):
        return (unread(found.closed),)
    return (bad(Code.RUNTIME_NOT_PREPARED, "the Node shows no Kata handler for GPUs and SNP"),)


def _configured(found: Containerd, files: list[Handler]) -> Outcome:
    if files:
        return _pointing(files[0])
    if found.closed:
        return unread(found.closed)
    seen = f"{found.name}'s configuration has no handler {wanted().handler}"
    return bad(Code.RUNTIME_NOT_PREPARED, seen)


def _handlers(found: Containerd) -> list[Handler]:
    """The plain name first: a second installation has a suffix, a custom one any name."""
    base, plain = wanted().configuration, wanted().handler
    fitting = [
        each
        for each in found.handlers
        if _is_named(each.name) or each.config.rpartition("/")[2].startswith(base)
    ]
    return sorted(fitting, key=lambda each: (each.name != plain, each.name))


def _is_named(name: str) -> bool:
    return name == wanted().handler or name.startswith(f"{wanted().handler}-")


def knows_no_kata(node: NodeSays | None) -> bool:
    """Every handler that the Node shows is known to be another runtime's."""
    return bool(node and node.handlers and set(node.handlers) <= wanted().other_handlers)


def _pointing(found: Handler) -> Outcome:
    name = f"handler {printable(found.name, SHOWN)}"
    if found.config_there is False:
        seen = f"{name} points at {printable(found.config, 120)}, which is not there"
        return bad(Code.RUNTIME_NOT_PREPARED, seen, where=found.where)
    if isinstance(found.config_there, Unreadable):
        return unread(found.config_there)
    return ok(f"{name} is configured", where=found.where)


def snapshotter(facts: Facts) -> tuple[Outcome, ...]:
    """One that containerd does not have fails every pod of the handler. CRI-O has none at all."""
    found = facts.runtime.containerd
    files = _handlers(found) if found else []
    if found is None or found.name != "containerd" or not files:
        return ()
    name, own = printable(files[0].name, SHOWN), files[0].snapshotter
    if not own:
        theirs = wanted().snapshotter
        seen = f"handler {name} uses the default snapshotter, NVIDIA's stack {theirs}"
        return (warn(Code.RUNTIME_NOT_PREPARED, seen, where=files[0].where),)
    if own in found.proxies or own in wanted().built_in_snapshotters:
        return (ok(f"snapshotter {printable(own, SHOWN)}"),)
    if found.closed:
        return (unread(found.closed),)
    seen = f"handler {name} uses snapshotter {printable(own, SHOWN)}, which is no proxy plugin"
    return (bad(Code.RUNTIME_NOT_PREPARED, seen, where=files[0].where),)
