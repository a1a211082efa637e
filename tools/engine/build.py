"""The third source: the engine built from the Go modules that go.mod and go.sum beside this file pin."""

import collections
import hashlib
import os
import pathlib
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from tools.engine import golang
from tools.engine.errors import EngineError
from tools.engine.found import Engine, version_of
from tools.engine.progress import Progress

SOURCES = pathlib.Path(__file__).parent
INPUTS = ("go.mod", "go.sum", "tools.go")
COMMAND = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
SDK = "github.com/pulumi/pulumi/sdk/v3"
VERSION_VARIABLE = f"{SDK}/go/common/version.Version"
RECIPE = "CGO_ENABLED=0 -s -w 1"
"""Part of the cache's key: changes whenever the way of building does."""

SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""What the language host needs of the SDK's module, beside the engine."""

SPACE_BYTES = 5 * 1024**3
"""Modules and object files of one build, most of it given back at its end."""


def pinned_version() -> str:
    """The engine's version in go.mod, without the v."""
    match = re.search(r"github\.com/pulumi/pulumi/pkg/v3 v(\S+)", (SOURCES / "go.mod").read_text())
    if match is None:
        message = "tools/engine/go.mod does not pin github.com/pulumi/pulumi/pkg/v3"
        raise EngineError(message)
    return match[1]


def folder(cache: pathlib.Path) -> pathlib.Path:
    """Where the build of these inputs is kept."""
    digest = hashlib.sha256(f"{RECIPE} {platform.system()} {platform.machine()}".encode())
    for name in INPUTS:
        digest.update((SOURCES / name).read_bytes())
    return cache / f"{pinned_version()}-{digest.hexdigest()[:12]}"


def cached(cache: pathlib.Path) -> Engine | None:
    """The build of an earlier set-up."""
    binary = folder(cache) / "pulumi"
    return Engine("build", version_of(binary), binary) if binary.exists() else None


def make(cache: pathlib.Path, uv: str | None) -> Engine:
    """Build the engine; minutes. An interrupted build goes on where it stopped.

    Raises EngineError.
    """
    target = folder(cache)
    free = shutil.disk_usage(cache).free
    if free < SPACE_BYTES:
        message = f"{cache} has {free / 1024**3:.1f} GiB free, and a build takes {SPACE_BYTES / 1024**3:.0f}"
        raise EngineError(message)
    scratch = cache / f".build-{target.name}"
    source = scratch / "source"
    result = scratch / "result"
    shutil.rmtree(result, ignore_errors=True)
    for path in (source, result):
        path.mkdir(parents=True, exist_ok=True)
    for name in INPUTS:
        shutil.copyfile(SOURCES / name, source / name)
    with Progress(f"gaxx: engine: building Pulumi {pinned_version()} from Go modules") as progress:
        progress.say("looking for Go")
        go = golang.toolchain(golang.wanted_by((source / "go.mod").read_text()), scratch, uv)
        _compile(go, source, result, _environment(go, scratch), progress)
    version_of(result / "pulumi")
    shutil.rmtree(target, ignore_errors=True)  # one that no longer runs, else nobody would have come here
    result.rename(target)
    # Gigabytes of object files that only another version of the engine would ask for, and mostly in vain.
    shutil.rmtree(scratch, ignore_errors=True)
    return Engine("build", pinned_version(), target / "pulumi")


def _environment(go: pathlib.Path, scratch: pathlib.Path) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key not in {"GOOS", "GOARCH", "GOWORK"}}
    environment |= {
        "CGO_ENABLED": "0",  # a C compiler is not among what a machine must have
        "GOCACHE": str(scratch / "objects"),
        "GOENV": "off",  # else a person's `go env -w` would have a say
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    for name in ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE"):
        if name not in os.environ and (value := _ask(go, name)):
            environment[name] = value  # how modules are reached is this machine's to say
    modules = _ask(go, "GOMODCACHE")
    if not (modules and pathlib.Path(modules).is_dir() and os.access(modules, os.W_OK)):
        # Somebody who does not use Go gets no ~/go from us.
        environment["GOPATH"] = str(scratch / "path")
        environment["GOMODCACHE"] = str(scratch / "modules")
    else:
        environment["GOMODCACHE"] = modules
        environment["GOPATH"] = _ask(go, "GOPATH") or str(scratch / "path")
    return environment


def _ask(go: pathlib.Path, name: str) -> str:
    answer = subprocess.run((str(go), "env", name), check=False, capture_output=True, text=True, cwd="/")
    return answer.stdout.strip()


def _compile(
    go: pathlib.Path, source: pathlib.Path, result: pathlib.Path, environment: Mapping[str, str], progress: Progress
) -> None:
    progress.say("fetching modules")
    packages = _go((str(go), "list", "-deps", COMMAND), source, environment, Counter(progress, "fetching module"))
    total = len(packages)
    flags = f"-s -w -X {VERSION_VARIABLE}=v{pinned_version()}"
    argv = (str(go), "build", "-v", "-ldflags", flags, "-o", str(result / "pulumi"), COMMAND)
    _go(argv, source, environment, Counter(progress, "compiling package", total))
    module = _go((str(go), "list", "-m", "-f", "{{.Dir}}", SDK), source, environment, Counter(progress, "module"))
    for name in SCRIPTS:
        script = pathlib.Path(module[0], name)
        if not script.exists():
            message = f"{SDK} has no {name}"
            raise EngineError(message)
        copy = result / script.name
        shutil.copyfile(script, copy)
        copy.chmod(0o755)


class Counter:
    """Counts what Go says it is doing, a line on stderr for each, and keeps the last lines for an error."""

    def __init__(self, progress: Progress, noun: str, total: int | None = None) -> None:
        self._progress = progress
        self._noun = noun
        self._total = total
        self._count = 0
        self.last: collections.deque[str] = collections.deque(maxlen=20)

    def line(self, text: str) -> None:
        """Take one line."""
        self.last.append(text)
        self._count += 1
        total = f" of {self._total}" if self._total else ""
        self._progress.say(f"{self._noun} {self._count}{total}")


def _go(argv: Sequence[str], source: pathlib.Path, environment: Mapping[str, str], counter: Counter) -> list[str]:
    """Run Go in `source`; its stdout as lines, its stderr to the counter. Raises EngineError with its last words."""
    answers = source.parent / "answer"
    with (
        answers.open("w+") as answer,
        subprocess.Popen(
            argv, cwd=source, env=dict(environment), stdout=answer, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        try:
            for line in process.stderr or ():
                counter.line(line.rstrip())
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        answer.seek(0)
        lines = answer.read().splitlines()
    answers.unlink()
    if code != 0:
        # The last line that is not just the name of a package.
        words = next((line for line in reversed(counter.last) if " " in line), f"exit code {code}")
        message = f"go {argv[1]} failed: {words.strip()}"
        raise EngineError(message)
    return lines
