"""The engine in use runs Python: a program, a provider and a policy pack from source, on a backend in a file."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import typing
from collections.abc import Iterator

import pytest

from tests.waiting import alive, until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

PULUMI = pathlib.Path(sys.executable).with_name("pulumi")

PROVIDER = """
    import json, sys
    from pulumi.provider.experimental import provider as api
    from pulumi.provider.experimental.property_value import PropertyValue
    from pulumi.provider.experimental.server import main

    SCHEMA = {"name": "probe", "version": "0.0.1", "resources": {"probe:index:Thing": {
        "properties": {"size": {"type": "number"}, "echo": {"type": "string"}},
        "inputProperties": {"size": {"type": "number"}}}}}

    class Probe(api.Provider):
        async def get_schema(self, request):
            return api.GetSchemaResponse(schema=json.dumps(SCHEMA))

        async def check_config(self, request):
            return api.CheckResponse(inputs=request.new_inputs)

        async def diff_config(self, request):
            return api.DiffResponse(changes=1)

        async def configure(self, request):
            return api.ConfigureResponse(
                accept_secrets=True, accept_outputs=True, accept_resources=True, supports_preview=True)

        async def check(self, request):
            return api.CheckResponse(inputs=request.new_inputs)

        async def create(self, request):
            return api.CreateResponse(resource_id="1", properties={**request.properties, "echo": PropertyValue("said")})

        async def delete(self, request):
            return None

    main(sys.argv[1:], "0.0.1", Probe())
"""

PROGRAM = """
    import pulumi

    class Thing(pulumi.CustomResource):
        def __init__(self, name, props):
            super().__init__("probe:index:Thing", name, props)

    config = pulumi.Config()
    thing = Thing("a", {"size": config.require_int("size"), "echo": None})
    pulumi.export("echo", thing.echo)
    pulumi.export("word", config.require_secret("word"))
"""

POLICY = """
    from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

    def small(args, report):
        if args.resource_type.endswith("Thing") and args.props["size"] > 2:
            report("this thing is too large")

    PolicyPack("probe", policies=[ResourceValidationPolicy(
        name="size", description="things are small", validate=small, enforcement_level=EnforcementLevel.MANDATORY)])
"""


class Project(typing.NamedTuple):
    """A project on disk with a stack `dev` in a backend of its own."""

    folder: pathlib.Path

    def run(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """Run `pulumi`; its stdout and stderr together."""
        answer = subprocess.run(
            (PULUMI, *arguments, "--non-interactive", "--color=never"),
            check=False,
            cwd=self.folder / "program",
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert answer.returncode == code, answer.stdout
        return answer.stdout


def write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


@pytest.fixture
def project(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}/state")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "of no worth")
    options = {"virtualenv": os.path.relpath(sys.prefix, tmp_path / "program")}
    definition = {
        "name": "probe",
        "runtime": {"name": "python", "options": options},
        "plugins": {"providers": [{"name": "probe", "path": "../provider"}]},
    }
    write(tmp_path / "program" / "Pulumi.yaml", json.dumps(definition))
    write(tmp_path / "program" / "__main__.py", PROGRAM)
    write(tmp_path / "provider" / "PulumiPlugin.yaml", "runtime: python\n")
    write(tmp_path / "provider" / "__main__.py", PROVIDER)
    write(tmp_path / "policy" / "PulumiPolicy.yaml", "runtime: python\n")
    write(tmp_path / "policy" / "__main__.py", POLICY)
    project = Project(tmp_path)
    project.run("stack", "init", "dev")
    project.run("config", "set", "size", "2")
    project.run("config", "set", "--secret", "word", "abracadabra")
    yield project
    assert processes_in(tmp_path) == []


def processes_in(folder: pathlib.Path) -> list[str]:
    """The command lines of processes that have to do with `folder`."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or not alive(int(entry.name)):
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cwd = (entry / "cwd").readlink()
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
        if int(entry.name) != os.getpid() and (str(folder) in line or cwd.is_relative_to(folder)):
            found.append(f"{entry.name} {line}")
    return found


def test_a_program_and_its_provider_from_source_go_up_and_down(project: Project) -> None:
    assert "+ 2 created" in project.run("up", "--yes", "--skip-preview")
    assert project.run("stack", "output", "echo").strip() == "said"
    assert "2 unchanged" in project.run("preview", "--expect-no-changes")
    assert "abracadabra" not in project.run("stack", "export")
    assert "- 2 deleted" in project.run("destroy", "--yes", "--skip-preview")


def test_no_plugin_is_complained_about_with_the_venv_on_path_or_without(project: Project) -> None:
    for path in (os.environ["PATH"], f"{PULUMI.parent}:{os.environ['PATH']}"):
        assert "warning" not in project.run("preview", PATH=path)


def test_a_policy_pack_from_source_refuses_by_environment_variable(project: Project) -> None:
    project.run("config", "set", "size", "3")
    pack = str(project.folder / "policy")
    said = project.run("preview", code=1, PULUMI_OPTION_POLICY_PACK=pack)
    assert "this thing is too large" in said
    project.run("config", "set", "size", "1")
    project.run("preview", PULUMI_OPTION_POLICY_PACK=pack)


def test_the_schema_of_a_provider_from_source_can_be_asked_for(project: Project) -> None:
    schema = json.loads(project.run("package", "get-schema", "../provider"))
    assert list(schema["resources"]) == ["probe:index:Thing"]


def test_about_names_the_python_of_the_project(project: Project) -> None:
    about = json.loads(project.run("about", "--json"))
    assert pathlib.Path(about["runtime"]["executable"]).samefile(sys.executable)


def test_an_error_in_the_program_shows_its_own_line_and_exits_1(project: Project) -> None:
    write(project.folder / "program" / "__main__.py", "import pulumi\n1 / 0\n")
    said = project.run("preview", code=1)
    assert "ZeroDivisionError" in said
    assert "__main__.py" in said


def test_nothing_outlives_an_engine_that_is_killed(project: Project) -> None:
    write(
        project.folder / "program" / "__main__.py",
        """
        import pathlib, signal
        pathlib.Path("running").touch()
        signal.pause()
        """,
    )
    with subprocess.Popen(
        (PULUMI, "preview", "--non-interactive"), cwd=project.folder / "program", stdout=subprocess.DEVNULL
    ) as engine:
        until((project.folder / "program" / "running").exists, deadline_s=60)
        engine.send_signal(signal.SIGKILL)
    until(lambda: processes_in(project.folder) == [])


def test_an_interrupted_preview_ends_without_a_traceback(project: Project) -> None:
    write(
        project.folder / "program" / "__main__.py",
        """
        import pathlib, signal
        pathlib.Path("running").touch()
        signal.pause()
        """,
    )
    with subprocess.Popen(
        (PULUMI, "preview", "--non-interactive", "--color=never"),
        cwd=project.folder / "program",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as engine:
        until((project.folder / "program" / "running").exists, deadline_s=60)
        # The first is for the engine to cancel by; the program does not listen, the second cuts it off.
        os.killpg(engine.pid, signal.SIGINT)
        os.killpg(engine.pid, signal.SIGINT)
        said, _ = engine.communicate(timeout=60)
    assert engine.returncode != 0
    assert "Traceback" not in said
    until(lambda: processes_in(project.folder) == [])
