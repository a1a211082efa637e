"""An audit line in a person's words, the same words for the same thing, so that equal ones fold."""

from tasks import words
from tasks.audit.chain import Record

_LARGEST_BYTES = 1 << 63


def sentence(record: Record) -> str:
    """Say what happened, without when, where and who."""
    kind = str(record.get("kind", ""))
    tell = _BY_KIND.get(kind)
    return printable(tell(record) if tell is not None else f"{kind} {_get(record, 'event')}".strip())


def host(record: Record) -> str:
    """Where it came from, without the port, which is another one each time."""
    return _get(record, "peer").rpartition(":")[0].strip("[]") or _get(record, "peer")


def who(record: Record) -> str:
    """Whose doing it was; "" where that is not known."""
    return printable(_get(record, "principal") or (_get(record, "user") if record.get("kind") == "ssh" else ""))


def printable(text: str) -> str:
    """Escape what would steer a terminal: names and reasons come from whoever knocked."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _get(record: Record, name: str) -> str:
    value = record.get(name, "")
    return value if isinstance(value, str) else str(value)


def _names(record: Record, name: str) -> str:
    value = record.get(name)
    return ", ".join(map(str, value)) if isinstance(value, list) else ""


def _chain(record: Record) -> str:
    match record.get("event"):
        case "begin":
            return f"the trail of machine {_get(record, 'machine') or '?'} begins"
        case "continue":
            return f"the trail goes on in a new file after {_get(record, 'after')}"
        case _:
            return f"lines {_get(record, 'first')} to {_get(record, 'last')} dropped: the trail is full"


def _gap(record: Record) -> str:
    if record.get("why") == "torn":
        return f"a line of {_get(record, 'torn_bytes')} bytes was torn when the agent was killed"
    return f"{_get(record, 'lines')} lines missing: {_get(record, 'why')}"


def _agent(record: Record) -> str:
    event = _get(record, "event")
    if event == "start":
        return f"agent started, build {_get(record, 'build')[:12]}, settings {_get(record, 'serial')}"
    words = {"drain": "agent drains", "stop": "agent stopped", "idle": "idle for too long: the machine ends"}
    return words.get(event, f"agent {event}")


def _settings(record: Record) -> str:
    if record.get("event") == "reload_failed":
        return f"new settings refused: {_get(record, 'why')}"
    if record.get("event") == "host_key":
        return f"the SSH host key is {_get(record, 'ssh_host_key')}"
    said = [f"settings {_get(record, 'serial')} in force"]
    for name, what in (
        ("principals_added", "let in"),
        ("principals_removed", "locked out"),
        ("principals_changed", "certificate, token or role renewed of"),
        ("certificates_denied", "certificates denied"),
    ):
        if record.get(name):
            said.append(f"{what} {_names(record, name)}")
    if record.get("environment_changed"):
        said.append("environment changed")
    if record.get("certificate"):
        said.append(f"the node's certificate is now {_get(record, 'certificate')}")
    if record.get("authority_sha256"):
        said.append("the authority is another")
    return "; ".join(said)


def _connection(record: Record) -> str:
    certificate = f", certificate {_get(record, 'certificate')}" if record.get("certificate") else ""
    return f"connected to {_get(record, 'port')} from {host(record)} as {_get(record, 'role')}{certificate}"


def _refused(record: Record) -> str:
    origin = f" from {host(record)}" if record.get("peer") else ""
    call = f" {_get(record, 'call')}" if record.get("call") else ""
    more = f", and {_get(record, 'unnoted_before')} before" if record.get("unnoted_before") else ""
    return f"refused{call}{origin}: {_get(record, 'why')} ({_get(record, 'reason')}){more}"


def _ended(record: Record) -> str:
    ending = _get(record, "ending")
    if ending == "exited":
        return f"exited {_get(record, 'exit_code')}"
    return f"ended by signal {_get(record, 'signal')}" if ending == "signaled" else ending.replace("_", " ")


def _of_run(record: Record) -> str:
    return f" of run {_get(record, 'run')}" if record.get("run") else ""


def _command(record: Record) -> str:
    program = f"command {_get(record, 'program')}"
    match record.get("event"):
        case "start":
            count = record.get("words")
            return f"{program} started ({count} {'word' if count == 1 else 'words'}){_of_run(record)}"
        case "left":
            return f"{program} left by its client{', killed' if record.get('killed') else ''}{_of_run(record)}"
        case _:
            return f"{program} {_ended(record)}{_of_run(record)}"


def _run(record: Record) -> str:
    files = f", files {_names(record, 'files')}" if record.get("files") else ""
    what = {"attach": "attached to", "cancel": "called off items of", "end": "ended"}
    return f"{what.get(_get(record, 'event'), _get(record, 'event'))} run {_get(record, 'run')}{files}"


def _item(record: Record) -> str:
    if record.get("event") == "start":
        return f"item started: {_get(record, 'program')}{_of_run(record)}"
    return f"item {_ended(record)}{_of_run(record)}"


def _file(record: Record) -> str:
    if record.get("fault"):
        return f"{_get(record, 'event')} {_get(record, 'path')} failed: {_get(record, 'fault')}"
    size = record.get("bytes")
    told = f", {words.size(size)}" if isinstance(size, int) and 0 <= size < _LARGEST_BYTES else ""
    return f"{_get(record, 'event')} {_get(record, 'path')}{told}, sha256 {_get(record, 'sha256')[:16]}"


def _ssh(record: Record) -> str:
    event = _get(record, "event")
    if event == "refused":
        return f"SSH refused from {host(record)}: {_get(record, 'why').partition(' port ')[0]}"
    # A certificate says who; which authority signed it is the same for all.
    key = f" by {_get(record, 'key').partition(' CA ')[0]}" if event == "begin" and record.get("key") else ""
    return f"SSH session from {host(record)} {'began' if event == 'begin' else 'ended'}{key}"


_BY_KIND = {
    "chain": _chain,
    "gap": _gap,
    "agent": _agent,
    "settings": _settings,
    "connection": _connection,
    "refused": _refused,
    "command": _command,
    "run": _run,
    "item": _item,
    "file": _file,
    "ssh": _ssh,
}
