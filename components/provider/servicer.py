"""The gRPC service that the engine calls: one method a verb, errors as one line, never a traceback.

Construct is handed to Pulumi's own component host; everything else is ours, on Pulumi's protocol
(pulumirpc.ResourceProvider) directly: see docs/decisions for why not the SDK's wrapper.
"""

import traceback
import typing

import grpc
import grpc.aio
from google.protobuf import empty_pb2
from pulumi.provider.server import ProviderServicer as ComponentServicer
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from components.errors import GaxxError
from components.provider.context import Context, EngineLog
from components.provider.resource import Difference, PartialError, Resource
from components.provider.wire import UNKNOWN, Decoded, Properties, decode, encode

VERSION = "0.1.0"

ServicerContext = grpc.aio.ServicerContext[typing.Any, typing.Any]

_AUTHORITIES = frozenset({"authorityKey", "previousAuthorityKey"})
"""What the provider's configuration holds, all of it secret."""


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Serves `resources` by token, and components through `components`."""

    def __init__(
        self, resources: tuple[Resource, ...], components: ComponentServicer, schema: str, engine_address: str
    ) -> None:
        self._resources = {resource.pulumi_type: resource for resource in resources}
        self._components = components
        self._schema = schema
        self._log = EngineLog(engine_address)
        self._authority_text = self._previous_text = ""

    # --- the package -------------------------------------------------------------------------------

    async def GetPluginInfo(self, request: object, context: ServicerContext) -> plugin_pb2.PluginInfo:
        """Say which version this is."""
        del request, context
        return plugin_pb2.PluginInfo(version=VERSION)

    async def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        """Return the package schema as JSON."""
        del request, context
        return provider_pb2.GetSchemaResponse(schema=self._schema)

    async def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Accept the provider's configuration; keep of it only what the provider reads.

        The default provider gets every `gaxx:` key of the stack; all but the authority's key and the
        version are the program's business and would make each change of a fleet a change of the provider.
        """
        del context
        news = decode(request.news)
        kept = {key: value for key, value in news.values.items() if key in {*_AUTHORITIES, "version"}}
        return provider_pb2.CheckResponse(inputs=encode(kept, _AUTHORITIES))

    async def DiffConfig(
        self, request: provider_pb2.DiffRequest, context: ServicerContext
    ) -> provider_pb2.DiffResponse:
        """Never replace the provider: resources compare the authority's fingerprint themselves."""
        del context
        changed = decode(request.old_inputs or request.olds).values != decode(request.news).values
        kind = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=kind)

    async def Configure(
        self, request: provider_pb2.ConfigureRequest, context: ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        """Take the authority's key, and while it takes over from another that one's, too."""
        del context
        keys = decode(request.args).values
        texts = [keys.get(name) for name in ("authorityKey", "previousAuthorityKey")]
        self._authority_text, self._previous_text = [text if isinstance(text, str) else "" for text in texts]
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, acceptResources=True, acceptOutputs=True, supportsPreview=True
        )

    async def Construct(
        self, request: provider_pb2.ConstructRequest, context: ServicerContext
    ) -> provider_pb2.ConstructResponse:
        """Construct a component for a program in any language."""
        response: provider_pb2.ConstructResponse = await self._components.Construct(request, context)
        return response

    async def Cancel(self, request: object, context: ServicerContext) -> empty_pb2.Empty:
        """The engine is being interrupted: it ends us once running calls have returned, which are all bounded."""
        del request, context
        return empty_pb2.Empty()

    # --- the resources ------------------------------------------------------------------------------

    async def Check(self, request: provider_pb2.CheckRequest, context: ServicerContext) -> provider_pb2.CheckResponse:
        """All faults of the inputs at once."""
        resource, _ = await self._enter(request.urn, context)
        news = decode(request.news)
        faults = resource.check(news.values)
        return provider_pb2.CheckResponse(
            inputs=encode(news.values, news.secrets | (resource.secrets & news.values.keys())),
            failures=[provider_pb2.CheckFailure(property=fault.property, reason=fault.reason) for fault in faults],
        )

    async def Diff(self, request: provider_pb2.DiffRequest, context: ServicerContext) -> provider_pb2.DiffResponse:
        """Replace or update, property by property."""
        resource, call = await self._enter(request.urn, context)
        olds = decode(request.old_inputs).values
        news = decode(request.news).values
        for name in request.ignoreChanges:
            news[name] = olds.get(name)
        return _difference(resource, resource.diff(call, olds, decode(request.olds).values, news))

    async def Create(
        self, request: provider_pb2.CreateRequest, context: ServicerContext
    ) -> provider_pb2.CreateResponse:
        """Make one; in a preview, only say what it would be."""
        resource, call = await self._enter(request.urn, context)
        inputs = decode(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(
                properties=encode(resource.preview_created(inputs.values), resource.secrets | inputs.secrets)
            )
        async with _guard(call, context, resource, inputs):
            created = await resource.create(call, inputs.values)
            return provider_pb2.CreateResponse(
                id=created.id, properties=_encode(resource, {**inputs.values, **created.outputs}, inputs)
            )
        raise AssertionError  # the guard has aborted the call

    async def Read(self, request: provider_pb2.ReadRequest, context: ServicerContext) -> provider_pb2.ReadResponse:
        """Compare with the world; an empty id says that it is gone."""
        resource, call = await self._enter(request.urn, context)
        state = decode(request.properties)
        async with _guard(call, context, resource, state):
            found = await resource.read(call, request.id, state.values)
            if found is None:
                return provider_pb2.ReadResponse(id="")
            return provider_pb2.ReadResponse(
                id=request.id, properties=_encode(resource, found, state), inputs=request.inputs
            )
        raise AssertionError  # the guard has aborted the call

    async def Update(
        self, request: provider_pb2.UpdateRequest, context: ServicerContext
    ) -> provider_pb2.UpdateResponse:
        """Change it in place, and mend what has drifted."""
        resource, call = await self._enter(request.urn, context)
        state = decode(request.olds)
        news = decode(request.news)
        if request.preview:
            return provider_pb2.UpdateResponse(
                properties=encode(resource.preview_updated(state.values, news.values), resource.secrets | news.secrets)
            )
        async with _guard(call, context, resource, news):
            outputs = await resource.update(call, request.id, state.values, news.values)
            return provider_pb2.UpdateResponse(properties=_encode(resource, {**news.values, **outputs}, news))
        raise AssertionError  # the guard has aborted the call

    async def Delete(self, request: provider_pb2.DeleteRequest, context: ServicerContext) -> empty_pb2.Empty:
        """Remove it; gone already is fine."""
        resource, call = await self._enter(request.urn, context)
        state = decode(request.properties)
        async with _guard(call, context, resource, state):
            await resource.delete(call, request.id, state.values)
        return empty_pb2.Empty()

    async def _enter(self, urn: str, context: ServicerContext) -> tuple[Resource, Context]:
        token = urn.split("::")[-2].rsplit("$", maxsplit=1)[-1]
        resource = self._resources.get(token)
        if resource is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"gaxx has no resource {token}")
        return resource, Context(urn, self._log, self._authority_text, self._previous_text)


class _guard:  # noqa: N801 - used as a statement
    """Turns an error of ours into the call's one-line message; anything else into a line plus a debug trace."""

    def __init__(self, call: Context, context: ServicerContext, resource: Resource, source: Decoded) -> None:
        self._call = call
        self._context = context
        self._resource = resource
        self._source = source

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        del kind, trace
        if isinstance(error, PartialError):
            await self._context.abort(grpc.StatusCode.UNKNOWN, str(error), self._partial(error))
        if isinstance(error, GaxxError):
            await self._context.abort(grpc.StatusCode.UNKNOWN, str(error))
        if isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
            await self._call.debug("".join(traceback.format_exception(error)))
            await self._context.abort(
                grpc.StatusCode.INTERNAL,
                f"unexpected {type(error).__name__}: {error} (`pulumi up --debug` shows where)",
            )
        return False

    def _partial(self, error: PartialError) -> tuple[tuple[str, bytes], ...]:
        """It exists: the engine remembers it together with what is wrong, and the next update mends it."""
        values = {**self._source.values, **error.made.outputs}
        failed = provider_pb2.ErrorResourceInitFailed(
            id=error.made.id, properties=_encode(self._resource, values, self._source), reasons=[str(error)]
        )
        rich = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
        rich.details.add().Pack(failed)
        return (("grpc-status-details-bin", rich.SerializeToString()),)


def _encode(resource: Resource, values: Properties, source: Decoded) -> typing.Any:
    """What the state is to hold. Of a preview policies see all."""
    kept = {name: value for name, value in values.items() if name not in resource.asked_once}
    return encode(kept, resource.secrets | source.secrets)


def _difference(resource: Resource, difference: Difference) -> provider_pb2.DiffResponse:
    kinds = provider_pb2.PropertyDiff
    changed = difference.updates or difference.replaces
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=[*difference.updates, *difference.replaces],
        replaces=list(difference.replaces),
        deleteBeforeReplace=resource.delete_before_replace and bool(difference.replaces),
        detailedDiff={
            **{name: kinds(kind=kinds.UPDATE, inputDiff=name in resource.inputs) for name in difference.updates},
            **{name: kinds(kind=kinds.UPDATE_REPLACE, inputDiff=True) for name in difference.replaces},
        },
        hasDetailedDiff=True,
    )


__all__ = ["UNKNOWN", "VERSION", "Servicer"]
