"""The language host, driven as the engine drives it: a process, its port on stdout, gRPC."""

import collections
import contextlib
import pathlib
import signal
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from tests.waiting import alive, until
from tools.engine import language_host, programs

HOST = pathlib.Path(language_host.__file__)


class Host(typing.NamedTuple):
    """A running language host and a client of it."""

    process: subprocess.Popen[str]
    client: language_pb2_grpc.LanguageRuntimeStub


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


@contextlib.contextmanager
def client_of(port: int) -> Iterator[language_pb2_grpc.LanguageRuntimeStub]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield language_pb2_grpc.LanguageRuntimeStub(channel)


@pytest.fixture
def host() -> Iterator[Host]:
    argv = (sys.executable, "-I", str(HOST), "-v=3", "127.0.0.1:1")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        with client_of(port_of(process)) as client:
            yield Host(process, client)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, ""), "a host ends quietly"


@pytest.fixture
def plugin(tmp_path: pathlib.Path) -> Callable[[str], language_pb2.RunPluginRequest]:
    """Makes a plugin of a program text, and the request that runs it."""

    def make(program: str) -> language_pb2.RunPluginRequest:
        folder = tmp_path / "plugin"
        folder.mkdir()
        (folder / "__main__.py").write_text(program)
        info = language_pb2.ProgramInfo(root_directory=str(folder), program_directory=str(folder), entry_point=".")
        return language_pb2.RunPluginRequest(pwd=str(tmp_path), info=info, kind="resource", args=["127.0.0.1:1", "b c"])

    return make


class Responses(typing.Protocol):
    """The answers of a running plugin, as gRPC gives them."""

    def __iter__(self) -> Iterator[language_pb2.RunPluginResponse]: ...
    def cancel(self) -> None: ...


def run(host: language_pb2_grpc.LanguageRuntimeStub, request: language_pb2.RunPluginRequest) -> Responses:
    return typing.cast("Responses", host.RunPlugin(request))


def first_line(responses: Responses) -> str:
    text = b""
    for response in responses:
        text += response.stdout
        if text.endswith(b"\n"):
            break
    return text.decode().rstrip()


SLEEPS = "import os, signal\nprint(os.getpid(), flush=True)\nsignal.pause()\n"
STUBBORN = (
    "import os, signal\n"
    "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "print(os.getpid(), flush=True)\n"
    "while True: signal.pause()\n"
)


def test_it_says_the_version_of_the_sdk_that_it_speaks_for(host: Host) -> None:
    assert host.client.GetPluginInfo(empty_pb2.Empty()).version.startswith("3.")


def test_it_announces_no_packages_so_that_no_stack_waits_for_plugins_it_does_not_use(host: Host) -> None:
    response = host.client.GetRequiredPackages(language_pb2.GetRequiredPackagesRequest())
    assert (list(response.packages), list(response.specs)) == ([], [])


def test_a_folder_that_names_no_virtualenv_runs_in_the_hosts_own(host: Host) -> None:
    response = host.client.About(language_pb2.AboutRequest(info=language_pb2.ProgramInfo(root_directory="/")))
    assert (response.executable, response.version) == (sys.executable, ".".join(map(str, sys.version_info[:3])))


def test_it_lists_what_is_installed(host: Host) -> None:
    response = host.client.GetProgramDependencies(language_pb2.GetProgramDependenciesRequest())
    assert {"pulumi", "grpcio", "gaxx"} <= {dependency.name for dependency in response.dependencies}


def test_a_virtualenv_that_is_not_there_is_said_to_be_missing(host: Host, tmp_path: pathlib.Path) -> None:
    options = struct_pb2.Struct()
    options.update({"virtualenv": ".venv"})
    info = language_pb2.ProgramInfo(root_directory=str(tmp_path), options=options)
    with pytest.raises(grpc.RpcError) as caught:
        list(host.client.InstallDependencies(language_pb2.InstallDependenciesRequest(info=info)))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert f"{tmp_path}/.venv" in (caught.value.details() or "")


def test_an_existing_environment_needs_no_installing(host: Host) -> None:
    assert list(host.client.InstallDependencies(language_pb2.InstallDependenciesRequest())) == []


def test_a_plugin_gets_its_arguments_folder_and_environment(
    host: Host, plugin: Callable[[str], language_pb2.RunPluginRequest], tmp_path: pathlib.Path
) -> None:
    program = "import os, sys\nprint([sys.argv, os.getcwd(), os.environ['A'], sys.path[0], sys.prefix])\n"
    request = plugin(program)
    request.env.extend(["A=x=y", "PATH=/usr/bin"])
    said = first_line(run(host.client, request))
    folder = str(tmp_path / "plugin")
    assert said == str([[folder, "127.0.0.1:1", "b c"], str(tmp_path), "x=y", folder, sys.prefix])


def test_what_a_plugin_prints_is_kept_apart_and_its_exit_code_comes_last(
    host: Host, plugin: Callable[[str], language_pb2.RunPluginRequest]
) -> None:
    request = plugin("import sys\nsys.stdout.write('out' * 100000)\nsys.stderr.write('err')\nsys.exit(7)\n")
    got: collections.Counter[str] = collections.Counter()
    last = None
    for response in host.client.RunPlugin(request):
        last = response
        got[str(response.WhichOneof("output"))] += len(response.stdout) + len(response.stderr)
    assert last is not None
    assert last.exitcode == 7
    assert got == {"stdout": 300000, "stderr": 3, "exitcode": 0}


def test_a_daemon_that_keeps_the_plugins_stdout_open_does_not_keep_the_plugin(
    host: Host, plugin: Callable[[str], language_pb2.RunPluginRequest]
) -> None:
    request = plugin(
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
    )
    responses = run(host.client, request)
    daemon = int(first_line(responses))
    try:
        assert [response.exitcode for response in responses] == [0]
        assert alive(daemon), "what a provider leaves running on purpose is not the host's to end"
    finally:
        subprocess.run(("kill", str(daemon)), check=True)


def test_a_plugin_ends_when_the_engine_hangs_up(
    host: Host, plugin: Callable[[str], language_pb2.RunPluginRequest]
) -> None:
    responses = run(host.client, plugin(SLEEPS))
    pid = int(first_line(responses))
    responses.cancel()
    until(lambda: not alive(pid))


def test_a_plugin_that_ignores_the_interrupt_is_killed_after_the_grace(
    host: Host, plugin: Callable[[str], language_pb2.RunPluginRequest]
) -> None:
    responses = run(host.client, plugin(STUBBORN))
    pid = int(first_line(responses))
    responses.cancel()
    until(lambda: not alive(pid), deadline_s=programs.GRACE_S + 15)


def test_an_interrupted_host_takes_its_plugins_along(
    plugin: Callable[[str], language_pb2.RunPluginRequest],
) -> None:
    argv = (sys.executable, "-I", str(HOST), "127.0.0.1:1")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        with client_of(port_of(process)) as client:
            pid = int(first_line(run(client, plugin(SLEEPS))))
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
        assert not alive(pid)


def test_a_killed_host_takes_its_plugins_along(plugin: Callable[[str], language_pb2.RunPluginRequest]) -> None:
    argv = (sys.executable, "-I", str(HOST), "127.0.0.1:1")
    with (
        subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process,
        client_of(port_of(process)) as client,
    ):
        pid = int(first_line(run(client, plugin(SLEEPS))))
        process.kill()
        until(lambda: not alive(pid))


def test_a_host_ends_when_its_engine_has_gone(plugin: Callable[[str], language_pb2.RunPluginRequest]) -> None:
    # The shell stands for the engine: it starts the host as its child, and is killed.
    script = f"'{sys.executable}' -I '{HOST}' 127.0.0.1:1 & echo $!; wait"
    with subprocess.Popen(("sh", "-c", script), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as engine:
        host_pid = port_of(engine)
        with client_of(port_of(engine)) as client:
            plugin_pid = int(first_line(run(client, plugin(SLEEPS))))
            engine.kill()
            until(lambda: not alive(host_pid) and not alive(plugin_pid))


def test_an_interpreter_that_does_not_start_is_said_by_the_plugins_output_and_exit_code(
    host: Host, tmp_path: pathlib.Path
) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("not a program")
    options = struct_pb2.Struct()
    options.update({"virtualenv": ".venv"})
    info = language_pb2.ProgramInfo(root_directory=str(tmp_path), program_directory=str(tmp_path), options=options)
    responses = list(host.client.RunPlugin(language_pb2.RunPluginRequest(pwd="/", info=info)))
    assert str(python) in b"".join(response.stderr for response in responses).decode()
    assert responses[-1].exitcode != 0
