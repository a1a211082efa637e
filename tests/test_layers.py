"""The import rules: the data takes one way through the folders, and what is quick to start stays so.

`agent` travels to nodes and brings nothing of ours; `components` knows nothing of `tasks`; `tasks` knows the contract
with `components` and not Pulumi; `policy` judges and trusts none of ours.
"""

import ast
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parent.parent
OURS = frozenset({"agent", "bench", "components", "jobs", "policy", "stacks", "tasks", "tests", "tools"})
HEAVY = frozenset({"pulumi", "pulumi_linode", "pulumi_policy", "ediri_vultr", "fabric", "invoke", "paramiko"})

PURE = (
    "authority",
    "backend",
    "cloud_table",
    "creation_pace",
    "engine_program",
    "errors",
    "firewall_rules",
    "fleet_settings",
    "inventory",
    "jump_host",
    "jump_socket",
    "left_out",
    "local_machine",
    "naming",
    "places",
    "ports",
    "provider.announced_keys",
    "rehearsal",
    "settings",
    "settings_reader",
    "vendors",
)
CONTRACT = frozenset(f"components.{name}" for name in PURE)
"""What `tasks` may know of `components`: modules that have nothing to do with Pulumi."""

CLIENT = frozenset({"agent.call", "agent.client", "agent.proto"})
"""What others may know of the agent."""


def modules(folder: str) -> list[pathlib.Path]:
    """The modules of a folder that people wrote."""
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "_pb2" not in path.name)


def imports(path: pathlib.Path, *, everywhere: bool = True) -> Iterator[tuple[int, str]]:
    """Each import as (line, dotted name); without `everywhere` only those that importing the module executes."""
    package = path.relative_to(ROOT).parent.parts
    for node in _nodes(ast.parse(path.read_bytes()), everywhere=everywhere):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{start}.{alias.name}"


def _nodes(tree: ast.AST, *, everywhere: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not everywhere and (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _typing(node)):
            continue
        yield node
        yield from _nodes(node, everywhere=everywhere)


def _typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def within(name: str, allowed: frozenset[str]) -> bool:
    """Whether a dotted name is one of `allowed` or something inside of it."""
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


def breaches(folder: str, allowed: frozenset[str]) -> list[str]:
    """Imports of ours in `folder` that are neither its own nor among `allowed`."""
    return [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules(folder)
        for line, name in imports(path)
        if name.split(".")[0] in OURS - {folder} and not within(name, allowed)
    ]


def test_the_agent_imports_nothing_of_ours_but_itself() -> None:
    assert breaches("agent", frozenset()) == []


def test_the_agent_imports_neither_pulumi_nor_fabric_nor_paramiko() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules("agent")
        for line, name in imports(path)
        if name.split(".")[0] in HEAVY
    ]
    assert found == []


def test_components_import_no_tasks_and_of_the_agent_only_its_client() -> None:
    assert breaches("components", CLIENT) == []


def test_tasks_import_only_the_contract_of_components_and_the_agents_client() -> None:
    assert breaches("tasks", CONTRACT | CLIENT) == []


def test_the_policy_imports_none_of_ours() -> None:
    assert breaches("policy", frozenset()) == []


def test_tools_import_of_ours_only_where_things_are_kept() -> None:
    assert breaches("tools", frozenset({"components.places"})) == []


def test_tasks_do_not_import_pulumi_when_they_are_imported() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules("tasks")
        for line, name in imports(path, everywhere=False)
        if name.split(".")[0].startswith(("pulumi", "ediri_vultr"))
    ]
    assert found == []


@pytest.mark.parametrize("folder", ["components", "policy"])
def test_a_folder_that_is_run_as_a_program_shadows_no_standard_module(folder: str) -> None:
    # `python <folder>` makes the folder the first place that imports are looked for.
    top = {path.stem for path in (ROOT / folder).glob("*.py")} | {
        path.name for path in (ROOT / folder).iterdir() if (path / "__init__.py").exists()
    }
    assert top & sys.stdlib_module_names == set()


@pytest.mark.parametrize(
    "module",
    ["tasks.run.execution", "tasks.cli.main", "tasks.cli.run", "tasks.inventory", "agent.client", *sorted(CONTRACT)],
)
def test_importing_a_quick_module_leaves_the_slow_ones_out(module: str) -> None:
    program = f"import sys, {module}; print(*sorted({set(HEAVY)!r} & set(sys.modules)))"
    answer = subprocess.run(
        (sys.executable, "-c", program),
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert answer.stdout.split() == []
