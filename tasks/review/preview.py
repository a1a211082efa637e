"""The engine's preview of a commit: of a throw-away stack without state, login or secrets, or of the stack itself.

bench = throw_away(...)      a backend, a home, an operator and an authority that are worth nothing
preview(...)                 events of what the project in a folder declares, judged by a pack
"""

import collections.abc
import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile
import typing

import yaml

from components import places
from components.engine_program import program
from components.errors import GaxxError
from tasks import env, identity
from tasks.review import events
from tasks.review.tree import NOBODY
from tasks.updates import deploy
from tasks.updates.event_log import event_log

PARAMETERS = "parameters.json"
"""Levels and parameters of the pack, beside it."""
_LIMIT_S = 1800.0
_KEPT = (
    "PATH", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "LINODE_URL", "LINODE_API_VERSION", "GAXX_VULTR_URL",
)  # fmt: skip
"""What of the environment a throw-away preview sees: no credential of anybody. Linode's plugin asks the vendor's public
list of types when it starts, so where the vendor is belongs to it."""
_PLACEHOLDER = "blanked for the review"


@dataclasses.dataclass(frozen=True, slots=True)
class Bench:
    """Where to preview: an environment, and how the engine is told about the stack."""

    environment: collections.abc.Mapping[str, str]
    options: tuple[str, ...] = ()


def of_stack_itself() -> Bench:
    """Against the stack's own state, with the user's login; nodes are not asked how they are."""
    env.prepare(env.chosen())
    identity.ensure()
    return Bench({**os.environ}, ("--refresh=false",))


@contextlib.contextmanager
def throw_away(stack: str, project: str, stack_file: str) -> collections.abc.Iterator[Bench]:
    """Make a bench for a stack file's text; secrets in it become worthless ones. It goes at the end."""
    with tempfile.TemporaryDirectory(prefix="gaxx-review-bench-") as temporary:
        base = pathlib.Path(temporary)
        home = base / "home"
        stacks = base / "backend" / ".pulumi" / "stacks" / project
        for folder in (home, stacks, base / "pulumi"):
            folder.mkdir(parents=True)
        # An empty stack as the file backend keeps it: making one by Pulumi takes a second.
        (stacks.parent.parent / "meta.yaml").write_text("version: 1\n")
        empty = {"version": 3, "checkpoint": {"stack": f"organization/{project}/{stack}", "latest": None}}
        (stacks / f"{stack}.json").write_text(json.dumps(empty))
        plugins = pathlib.Path(os.environ.get("PULUMI_HOME") or pathlib.Path.home() / ".pulumi") / "plugins"
        if plugins.is_dir():
            (base / "pulumi" / "plugins").symlink_to(plugins)
        operator = base / "operator"
        operator.mkdir(mode=0o700)
        identity.make(operator, NOBODY)
        configuration = base / f"Pulumi.{stack}.yaml"
        configuration.write_text(json.dumps(_without_secrets(stack_file, stack, project)))
        environment = {
            **{name: value for name, value in os.environ.items() if name in _KEPT},
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_STATE_HOME": str(home / "state"),
            "GAXX_STATE_DIR": str(base / "nodes"),
            "GAXX_OPERATOR_DIR": str(operator),
            "PULUMI_HOME": str(base / "pulumi"),
            "PULUMI_BACKEND_URL": f"file://{base / 'backend'}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE": "throw-away",
        }
        yield Bench(environment, ("--config-file", str(configuration), "--refresh=false"))


def preview(
    project: pathlib.Path,
    stack: str,
    bench: Bench,
    *,
    pack: pathlib.Path | None,
    nodes: int,
    plan: pathlib.Path | None = None,
) -> events.Events:
    """Have the engine preview the project in a folder; raise GaxxError when there is no engine."""
    line = [program(), "preview", "--stack", stack, "--non-interactive", *bench.options]
    line += ["--parallel", str(deploy.parallelism(nodes)), "--suppress-outputs", "--suppress-progress"]
    if pack is not None:
        line += ["--policy-pack", str(pack)]
        parameters = pack / PARAMETERS
        if parameters.is_file():
            line += ["--policy-pack-config", str(parameters)]
    if plan is not None:
        line += ["--save-plan", str(plan.absolute())]
    environment = {
        name: value for name, value in bench.environment.items() if not name.startswith("PULUMI_OPTION_POLICY_PACK")
    }
    environment |= {
        "PATH": f"{pathlib.Path(program()).parent}:{environment.get('PATH', os.defpath)}",
        "PULUMI_DEBUG_COMMANDS": "1",  # without it Pulumi denies that it has an event log
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }
    try:
        with event_log() as log:
            done = subprocess.run(
                [*line, "--event-log", str(log)], cwd=project, env=environment, stdin=subprocess.DEVNULL,
                capture_output=True, timeout=_LIMIT_S, check=False,
            )  # fmt: skip
            with log.open(encoding="utf-8", errors="replace") as file:
                found = events.read(file)
    except subprocess.TimeoutExpired as error:
        message = f"the preview of {project} took longer than {_LIMIT_S:.0f} s"
        raise GaxxError(message) from error
    refused = any(violation.level == "mandatory" for violation in found.violations)
    if done.returncode != 0 and not found.errors and not refused:
        said = [text for text in done.stderr.decode(errors="replace").splitlines() if text.strip()]
        found = dataclasses.replace(found, errors=(said[-1] if said else f"exit code {done.returncode}",))
    return dataclasses.replace(found, errors=() if done.returncode == 0 else found.errors)


def _without_secrets(text: str, stack: str, project: str) -> dict[str, typing.Any]:
    """The stack file with each encrypted value replaced: a review can read no secret of the stack."""
    from components.authority import Authority

    data = yaml.safe_load(text) or {}
    config = {str(key): _blanked(value) for key, value in (data.get("config") or {}).items()}
    for key in (f"{project}:authorityKey", f"{project}:previousAuthorityKey"):
        if key in config:
            config[key] = Authority.create(stack).pem
    return {"config": config}


def _blanked(value: typing.Any) -> typing.Any:
    if isinstance(value, dict):
        return _PLACEHOLDER if set(value) == {"secure"} else {key: _blanked(item) for key, item in value.items()}
    return [_blanked(item) for item in value] if isinstance(value, list) else value


def cache_folder() -> pathlib.Path:
    """Documents of base commits, which never change."""
    return places.cache_dir() / "reviews"
