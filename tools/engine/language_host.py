"""A Pulumi language host for Python: what lets an engine that was built from source run Python programs.

    engine ── starts ──► language host ── starts ──► the program (`Run`)
                                       └─ starts ──► providers and policy packs from source (`RunPlugin`)

The official download brings its own; this one is put beside an engine of ours only, as `pulumi-language-python`.
It prints its port, serves until SIGINT or until its engine has gone, and then takes its programs with it: a program
that outlives its engine holds resources open that nobody will ever close.

Run by a launcher as `python -I language_host.py [flags of the engine …] ENGINE_ADDRESS`.
"""

import concurrent.futures
import contextlib
import importlib.machinery
import importlib.metadata
import json
import os
import pathlib
import selectors
import signal
import socket
import subprocess
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence

import grpc
from google.protobuf import empty_pb2

BAIL_EXIT_CODE = 32
"""A program's exit code for: failed, and the person has been told why."""

MESSAGE_LIMIT_BYTES = 400 * 1024 * 1024
"""The engine's own limit."""

CONCURRENT_CALLS = 256
"""Each running plugin holds one thread for as long as it lives."""


def _bare_package(name: str, folder: str) -> None:
    package = types.ModuleType(name)
    package.__path__ = [folder]
    sys.modules[name] = package


def _import_protocol() -> None:
    """Make `pulumi.runtime.proto` importable without `pulumi/__init__.py`: half a second off every command."""
    spec = importlib.machinery.PathFinder.find_spec("pulumi")
    if spec is None or not spec.submodule_search_locations:
        message = f"the Pulumi SDK is not installed for {sys.executable}"
        raise ModuleNotFoundError(message, name="pulumi")
    folder = spec.submodule_search_locations[0]
    _bare_package("pulumi", folder)
    _bare_package("pulumi.runtime", str(pathlib.Path(folder, "runtime")))


if __name__ == "__main__":
    # Until there is something to take down, an interrupt ends this process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # -I leaves the script's own folder out, and the environment's packages in.
    sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent))
    _import_protocol()

from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2  # noqa: E402 - after the lines above

from tools.engine.programs import Programs, output  # noqa: E402 - after the lines above


class Interpreter(typing.NamedTuple):
    """The Python that runs a program, and the virtual environment it stands for."""

    python: pathlib.Path
    venv: pathlib.Path

    @classmethod
    def of_host(cls) -> "Interpreter":
        """The environment this host runs in."""
        return cls(pathlib.Path(sys.executable), pathlib.Path(sys.prefix))

    @classmethod
    def of_program(cls, info: language_pb2.ProgramInfo) -> "Interpreter":
        """The `virtualenv` option of a project, relative to its root; a folder that names none gets the host's own.

        Raises FileNotFoundError when the environment it names is not there.
        """
        options = dict(info.options)
        name = options.get("virtualenv")
        if not isinstance(name, str) or not name:
            return cls.of_host()
        venv = pathlib.Path(info.root_directory, name)
        python = venv / "bin" / "python"
        if not python.exists():
            message = f"the virtualenv {venv} that {info.root_directory} names does not exist"
            raise FileNotFoundError(message)
        return cls(python, venv)

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base` with this environment activated."""
        environment = {key: value for key, value in base.items() if key != "PYTHONHOME"}
        environment["VIRTUAL_ENV"] = str(self.venv)
        environment["PATH"] = os.pathsep.join((str(self.venv / "bin"), environment.get("PATH", os.defpath)))
        return environment


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """The service the engine calls. What it does not offer (code generation, packing) answers UNIMPLEMENTED."""

    def __init__(self, engine_address: str, executor: pathlib.Path, programs: Programs) -> None:
        self._engine_address = engine_address
        self._executor = executor
        self._programs = programs

    def Handshake(
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        """Take the engine's address where it was not on the command line."""
        del context
        self._engine_address = request.engine_address or self._engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        """Say the version: the SDK's, which is what this host speaks."""
        del request, context
        return plugin_pb2.PluginInfo(version=importlib.metadata.version("pulumi"))

    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        """Announce nothing: a plugin is had when a resource needs it.

        Announced, every cloud's plugin would be downloaded before a stack that uses none of them could be previewed.
        """
        del request, context
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(
        self, request: language_pb2.GetRequiredPluginsRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPluginsResponse:
        """Answer as `GetRequiredPackages` does, to engines that ask the older question."""
        del request, context
        return language_pb2.GetRequiredPluginsResponse()

    def RuntimeOptionsPrompts(
        self, request: language_pb2.RuntimeOptionsRequest, context: grpc.ServicerContext
    ) -> language_pb2.RuntimeOptionsResponse:
        """Ask nothing further when a project is made."""
        del request, context
        return language_pb2.RuntimeOptionsResponse()

    def About(self, request: language_pb2.AboutRequest, context: grpc.ServicerContext) -> language_pb2.AboutResponse:
        """Say which Python runs programs, for `pulumi about`."""
        interpreter = self._interpreter(request.info, context)
        version = subprocess.run(
            (str(interpreter.python), "-c", "import platform; print(platform.python_version())"),
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        return language_pb2.AboutResponse(executable=str(interpreter.python), version=version)

    def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        """List what is installed in the program's environment."""
        interpreter = self._interpreter(request.info, context)
        found = {
            distribution.name: distribution.version
            for folder in interpreter.venv.glob("lib/python3*/site-packages")
            for distribution in importlib.metadata.distributions(path=[str(folder)])
        }
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=name, version=version) for name, version in sorted(found.items())
            ]
        )

    def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        """Check that the environment is there; making it is set-up's, from the lock file."""
        self._interpreter(request.info, context)
        yield from ()

    def Run(self, request: language_pb2.RunRequest, context: grpc.ServicerContext) -> language_pb2.RunResponse:
        """Run a Pulumi program to its end."""
        interpreter = self._interpreter(request.info, context)
        argv = [
            str(interpreter.python),
            "-u",
            str(self._executor),
            *("--monitor", request.monitor_address),
            *("--engine", self._engine_address),
            *("--project", request.project),
            *("--stack", request.stack),
            *("--pwd", request.pwd),
            *("--dry_run", "true" if request.dryRun else "false"),
            *("--parallel", str(request.parallel)),
            *("--root_directory", request.info.root_directory),
        ]
        if request.organization:
            argv += ["--organization", request.organization]
        argv += [request.info.entry_point or ".", *request.args]
        environment = interpreter.environment(os.environ)
        environment["PULUMI_CONFIG"] = json.dumps(dict(request.config))
        environment["PULUMI_CONFIG_SECRET_KEYS"] = json.dumps(list(request.configSecretKeys))
        directory = request.info.root_directory or request.pwd
        with self._programs.started(argv, cwd=directory, environment=environment, output=None) as program:
            # The engine gives up on the call when the person presses Ctrl-C a second time.
            context.add_callback(lambda: self._programs.end_soon(program))
            code = program.wait()
        if code == 0:
            return language_pb2.RunResponse()
        if code == BAIL_EXIT_CODE:
            return language_pb2.RunResponse(bail=True)
        if code < 0:
            return language_pb2.RunResponse(error=f"the program was ended by {signal.Signals(-code).name}")
        return language_pb2.RunResponse(error=f"the program exited with code {code}")

    def RunPlugin(
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Run a provider or a policy pack from source until it ends or the engine hangs up."""
        interpreter = self._interpreter(request.info, context)
        folder = request.info.program_directory
        if request.kind == "analyzer":
            # The SDK's own runner of policy packs; it gives the pack its folder as the first import path.
            argv = ["-m", "pulumi.policy", *request.args, folder]
            directory = folder
        else:
            argv = [folder, *request.args]
            directory = request.pwd
        environment = interpreter.environment(dict(entry.split("=", 1) for entry in request.env if "=" in entry))
        command = (str(interpreter.python), "-u", *argv)
        with self._programs.started(command, cwd=directory, environment=environment, output=subprocess.PIPE) as plugin:
            context.add_callback(lambda: self._programs.end_soon(plugin))
            for stream, chunk in output(plugin):
                if stream == "stdout":
                    yield language_pb2.RunPluginResponse(stdout=chunk)
                else:
                    yield language_pb2.RunPluginResponse(stderr=chunk)
            yield language_pb2.RunPluginResponse(exitcode=plugin.wait())

    @staticmethod
    def _interpreter(info: language_pb2.ProgramInfo, context: grpc.ServicerContext) -> Interpreter:
        try:
            return Interpreter.of_program(info)
        except FileNotFoundError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{error}; `make setup` makes it")


@contextlib.contextmanager
def _end_of_life(parent_pid: int) -> Iterator[typing.Callable[[], None]]:
    """Give a function that returns on SIGINT, on SIGTERM, or when the process that started this one has gone."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    with near, far, selectors.DefaultSelector() as selector:
        # The handlers themselves do nothing: the byte that the interpreter writes is what wakes the selector.
        signal.set_wakeup_fd(far.fileno())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        parent = os.pidfd_open(parent_pid)
        try:
            selector.register(near, selectors.EVENT_READ)
            selector.register(parent, selectors.EVENT_READ)

            def wait() -> None:
                selector.select()

            yield wait
        finally:
            signal.set_wakeup_fd(-1)
            os.close(parent)


def main(arguments: Sequence[str], parent_pid: int) -> int:
    """Serve the engine whose address is the last of `arguments`."""
    engine_address = next((argument for argument in reversed(arguments) if not argument.startswith("-")), "")
    executor = pathlib.Path(sys.executable).with_name("pulumi-language-python-exec")
    programs = Programs()
    with _end_of_life(parent_pid) as wait_for_the_end:
        server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(max_workers=CONCURRENT_CALLS),
            # Configurations and package schemas may be larger than gRPC's 4 MiB.
            options=(("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES), ("grpc.so_reuseport", 0)),
        )
        language_pb2_grpc.add_LanguageRuntimeServicer_to_server(
            LanguageHost(engine_address, executor, programs), server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        wait_for_the_end()
        programs.close()
        server.stop(grace=0).wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.getppid()))
