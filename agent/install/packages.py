"""The fleet's declared packages: installed from the machine's own repositories, and removed when declared no more.

Removed is only what was installed here for a declaration: etc/gaxx/packages.json remembers that. What such a
package brought with it stays until the machine goes.
"""

import json
import re
from collections.abc import Iterable

from agent.install.apt import Apt, Done, Package, last_error, unreached
from agent.install.layout import InstallError, Layout, write
from agent.install.settings import Manifest

_UNKNOWN = re.compile(
    r"^E: (?:Unable to locate package (\S+)|Package '(\S+)' has no installation candidate)", re.MULTILINE
)
_NO_VERSION = re.compile(r"^E: Version '(.+)' for '(\S+)' was not found", re.MULTILINE)
_FULL = re.compile(r"No space left on device|You don't have enough free space in (\S+?)\.?$", re.MULTILINE)
_BROKEN = re.compile(r"^dpkg: error processing (?:package|archive) (\S+) \(--\w+\):\n (.+)$", re.MULTILINE)


def install(layout: Layout, manifest: Manifest, apt: Apt) -> None:
    """Make the machine have what is declared, and no more what was; raise InstallError naming package and key."""
    record = layout.settings / "packages.json"
    ours = set(json.loads(record.read_text())) if record.exists() else set()
    declared: list[str] = manifest["packages"]
    if not declared and not ours:
        return
    known = apt.known()
    missing = _missing(declared, known)
    gone = ours - {_name(one) for one in declared}
    if not missing and not gone:
        return
    mended = apt.mend(known)
    # Before anything is installed: what an interruption leaves is ours too.
    present = {_full_name(one) for one in known if one.status == "installed"}
    present |= {one.name for one in known if one.status == "installed"}
    ours |= {_name(one) for one in missing} - present
    write(record, json.dumps(sorted(ours)))
    for name in sorted(gone):
        _remove(name, gone, apt)
    write(record, json.dumps(sorted(ours - gone)))
    if missing:
        _install(declared, missing, manifest.get("fleet", ""), apt, repair=mended)


def _install(declared: list[str], missing: list[str], fleet: str, apt: Apt, *, repair: bool) -> None:
    answers = apt.update()
    # A declared version may be the older one.
    options = ("--no-install-recommends", "--allow-downgrades", *(("--fix-broken",) if repair else ()))
    done = apt.get("install", *options, *missing)
    if done.code != 0:
        fault = _fault(done, declared, missing, fleet, {**answers.missing, **unreached(done.output)})
        # A repository whose signature does not fit is no mirror that is down.
        raise InstallError(f"{fault}; apt-get update: {answers.fault}" if answers.fault else fault)
    left = _missing(missing, apt.known())
    if left:
        # apt has ideas of its own about names that no package has (`x+`, `x.`).
        message = f"{_keys(left, declared, fleet)}: no such package was found in the machine's repositories"
        raise InstallError(message)


def _remove(name: str, gone: set[str], apt: Apt) -> None:
    """Remove what is declared no more, unless something else needs it."""
    if not any(one.status == "installed" and name in (one.name, _full_name(one)) for one in apt.known()):
        return
    rehearsed = apt.get("--simulate", "remove", name)
    victims = set(re.findall(r"^Remv (\S+)", rehearsed.output, re.MULTILINE))
    if rehearsed.code == 0 and not victims <= gone | {name.partition(":")[0] for name in gone}:
        apt.run("apt-mark", "auto", name)
        return
    done = apt.get("remove", name)
    if done.code != 0:
        message = f"{name}, which is declared no more, cannot be removed: {last_error(done)}"
        raise InstallError(message)


def _missing(declared: Iterable[str], known: Iterable[Package]) -> list[str]:
    """What of it is not installed in the version that is asked for."""
    installed = [one for one in known if one.status == "installed"]
    names = {one.name: one for one in installed}
    versions = {_full_name(one): one.version for one in installed} | {one.name: one.version for one in installed}
    provided = frozenset[str]().union(*(one.provides for one in installed)) - names.keys()
    result = []
    for one in declared:
        name, _, version = one.partition("=")
        if name in provided and not version:
            continue
        if name not in versions or (version and versions[name] != version):
            result.append(one)
    return list(dict.fromkeys(result))


def _fault(done: Done, declared: list[str], missing: list[str], fleet: str, silent: dict[str, str]) -> str:
    """One line: which package, by which key, and what is wrong with it."""
    unreachable = "; ".join(f"{where} ({why})" for where, why in silent.items())
    full = _FULL.search(done.output)
    unknown = {found or other for found, other in _UNKNOWN.findall(done.output)}
    absent = _NO_VERSION.search(done.output)
    broken = _BROKEN.search(done.output)
    concerned = missing
    if full:
        words = f"the machine's disk is full{f' ({full[1]})' if full[1] else ''}"
    elif unknown:
        concerned = [one for one in missing if _name(one) in unknown] or missing
        words = "no such package in the machine's repositories"
    elif absent:
        concerned = [one for one in missing if _name(one) == absent[2]] or missing
        words = f"no version {absent[1]} in the machine's repositories"
    elif broken and not unreached(done.output):
        words = f"{broken[1].rpartition('/')[2].partition('_')[0]} does not install: {broken[2].strip()}"
    else:
        words = last_error(done)
    if unreachable and (unknown or absent):
        words = f"{words} that answer; these do not: {unreachable}"
    elif unreached(done.output):
        words = f"cannot be fetched: {unreachable}"
    return f"{_keys(concerned, declared, fleet)}: {words}"


def _keys(packages: list[str], declared: list[str], fleet: str) -> str:
    where = ", ".join(f"packages[{declared.index(one)}]" for one in packages)
    return f"{where} of fleet {fleet} ({', '.join(packages)})"


def _name(declared: str) -> str:
    """As apt writes it in its messages: with the architecture where one is declared."""
    return declared.partition("=")[0]


def _full_name(package: Package) -> str:
    return f"{package.name}:{package.architecture}"
