"""A provider plugin, as small as the engine lets it be; the vendors' own cannot be had from package registries.

Like a bridged Terraform provider it compares what is wanted with what the last read found, replaces where the
vendor cannot change, and knows an instance by the id that its create was told.
"""

import abc
import ctypes
import dataclasses
import signal
import sys
import typing
from collections.abc import Mapping
from concurrent import futures

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from google.rpc import status_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_PR_SET_PDEATHSIG = 1
State = dict[str, typing.Any]


class PluginError(Exception):
    """What the user is to read."""


class HalfMadeError(PluginError):
    """It exists, and does not work: the engine is to remember it."""

    def __init__(self, made_id: str, state: State, reason: str) -> None:
        super().__init__(reason)
        self.made_id = made_id
        self.state = state


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """What a create made."""

    id: str
    state: State


class Kind(abc.ABC):
    """One resource type."""

    replaces: typing.ClassVar[frozenset[str]] = frozenset()
    defaults: typing.ClassVar[State] = {}
    """What an input means that is not given, where leaving it out means something."""

    @abc.abstractmethod
    def create(self, inputs: State) -> Made: ...
    @abc.abstractmethod
    def read(self, resource_id: str, state: State) -> State | None: ...
    @abc.abstractmethod
    def update(self, resource_id: str, state: State, inputs: State) -> State: ...
    @abc.abstractmethod
    def delete(self, resource_id: str, state: State) -> None: ...


class Plugin(provider_pb2_grpc.ResourceProviderServicer):
    """Serves a vendor's kinds."""

    def __init__(self, version: str, kinds: Mapping[str, Kind], configure: typing.Callable[[State], None]) -> None:
        self._version = version
        self._kinds = kinds
        self._configure = configure

    def GetPluginInfo(self, _request: object, _context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self._version)

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, _context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(
        self, _request: provider_pb2.DiffRequest, _context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        self._guarded(context, lambda: self._configure(_plain(request.args)))
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=True, acceptResources=False)

    def Cancel(self, _request: object, _context: grpc.ServicerContext) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def Check(self, request: provider_pb2.CheckRequest, _context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: provider_pb2.DiffRequest, _context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        kind = self._kind(request.urn)
        state, wanted = _plain(request.olds), {**kind.defaults, **_plain(request.news)}
        changed = [
            key
            for key, value in wanted.items()
            if not key.startswith("__") and key not in request.ignoreChanges and not _same(state.get(key), value)
        ]
        replaces = [key for key in changed if key in kind.replaces]
        what = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=what, diffs=changed, replaces=replaces)

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        inputs = _plain(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=_struct(inputs))
        made = self._guarded(context, lambda: self._kind(request.urn).create(inputs))
        return provider_pb2.CreateResponse(id=made.id, properties=_struct(made.state))

    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        state = self._guarded(context, lambda: self._kind(request.urn).read(request.id, _plain(request.properties)))
        if state is None:
            return provider_pb2.ReadResponse(id="")
        return provider_pb2.ReadResponse(id=request.id, properties=_struct(state), inputs=request.inputs)

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        state, inputs = _plain(request.olds), _plain(request.news)
        inputs |= {key: state.get(key) for key in request.ignoreChanges}
        if request.preview:
            return provider_pb2.UpdateResponse(properties=_struct({**state, **inputs}))
        changed = self._guarded(context, lambda: self._kind(request.urn).update(request.id, state, inputs))
        return provider_pb2.UpdateResponse(properties=_struct(changed))

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self._guarded(context, lambda: self._kind(request.urn).delete(request.id, _plain(request.properties)))
        return empty_pb2.Empty()

    def _kind(self, urn: str) -> Kind:
        return self._kinds[urn.split("::")[2].rsplit("$", maxsplit=1)[-1]]

    def _guarded(self, context: grpc.ServicerContext, call: typing.Callable[[], typing.Any]) -> typing.Any:
        try:
            return call()
        except HalfMadeError as error:
            failed = provider_pb2.ErrorResourceInitFailed(
                id=error.made_id, properties=_struct(error.state), reasons=[str(error)]
            )
            rich = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
            rich.details.add().Pack(failed)
            context.set_trailing_metadata((("grpc-status-details-bin", rich.SerializeToString()),))
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except PluginError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        raise AssertionError  # abort does not return


def serve(plugin: Plugin) -> None:
    """Print the port, and serve until the engine goes."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    server = grpc.server(futures.ThreadPoolExecutor(64), options=[("grpc.max_receive_message_length", 64 << 20)])
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(plugin, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


def _plain(struct: struct_pb2.Struct) -> State:
    return json_format.MessageToDict(struct)


def _struct(state: Mapping[str, typing.Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    json_format.ParseDict({key: value for key, value in state.items() if value is not None}, struct)
    return struct


def _same(old: typing.Any, new: typing.Any) -> bool:
    if isinstance(old, list) and isinstance(new, list) and all(isinstance(one, str) for one in (*old, *new)):
        return sorted(old) == sorted(new)
    if isinstance(old, int | float | str) and isinstance(new, int | float | str):
        return old == new or _number(old) == _number(new)
    if isinstance(old, dict) and isinstance(new, dict):
        return all(_same(old.get(key), value) for key, value in new.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    return bool(old == new)


def _number(value: float | str) -> str:
    # Pulumi's numbers are floats, and ids are sometimes text.
    return f"{value:.0f}" if isinstance(value, float) else str(value)
