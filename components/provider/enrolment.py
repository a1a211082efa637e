"""gaxx:index:Enrolment: brings a fresh node under the authority over SSH, and every later change to it."""

import asyncio
import time
import typing
from collections.abc import Mapping

from components.errors import GaxxError, NodeError, Refused
from components.provider import announced_keys, manifest, ssh_session, stragglers
from components.provider.context import Context
from components.provider.enrolling import Enroller, Result
from components.provider.resource import Created, Difference, PartialError, Property, Resource
from components.provider.ssh_session import Endpoint
from components.provider.wire import UNKNOWN, Properties

RENEW_BEFORE_S = 7 * 24 * 3600

_RUNNER_LIMIT_S = 15.0
_POLL_S = 0.2

_STRING = Property("string", "a value")


class Enrolment(Resource):
    """The node as it serves: agent installed, settings in force, host keys its own."""

    pulumi_type = "gaxx:index:Enrolment"
    description = "A node under the stack's authority: agent, settings, operators and firewall, changed in place."
    inputs: typing.ClassVar[Mapping[str, Property]] = {
        "node": Property("string", "name of the node", replaces=True),
        "fleet": Property("string", "name of its fleet"),
        "cloud": Property("string", "cloud of the node", replaces=True),
        "machineId": Property("string", "id of the machine: another machine is another enrolment", replaces=True),
        "created": Property("string", "when the machine was made: RFC 3339, UTC"),
        "address": Property("string", "where the agent listens, as the node sees itself"),
        "reach": Property("string", "direct or ssh"),
        "sshHost": Property("string", "where the controller finds its sshd"),
        "sshPort": Property("integer", "port of its sshd"),
        "sshUser": Property("string", "user that enrols"),
        "helper": Property("string", "command of the enrolment helper on the node"),
        "bootstrapHostKey": Property("string", "public host key in the user-data"),
        "bootstrapPrivateKey": Property("string", "single-use key of the bootstrap user", secret=True),
        "tlsName": Property("string", "DNS name in the node's certificate"),
        "trustedCidrs": Property("array", "who may reach 8088 and 9091", items=_STRING),
        "sshCidrs": Property("array", "who may reach 22", items=_STRING),
        "principals": Property(
            "array", "operators and observers: name, role, tokenSha256, sshPublicKey", items=Property("object", "one")
        ),
        "deniedSerials": Property("array", "serials of certificates that are refused", required=False, items=_STRING),
        "env": Property("object", "environment of every item", required=False, items=_STRING),
        "files": Property("object", "declared files: path to content and mode", required=False),
        "packages": Property("array", "declared packages", required=False, items=_STRING),
        "groups": Property("array", "groups of the node", required=False, items=_STRING),
        "slots": Property("integer", "items at once"),
        "ttlS": Property("integer", "seconds from creation to expiry; 0: none"),
        "idleS": Property("integer", "seconds of idleness to expiry; 0: none", required=False),
        "keyGeneration": Property("integer", "another number is new TLS and SSH host keys", required=False),
        "agentSource": Property("string", "digest of the agent's sources: another one is installed in place"),
        "jumpHost": Property("string", "[user@]host[:port] that leads to its sshd", required=False),
        "enough": Property(
            "integer", "how many of the fleet's nodes are enough; absent: all are needed, this one too", required=False
        ),
    }
    outputs: typing.ClassVar[Mapping[str, Property]] = {
        "sshHostKeys": Property("array", "the node's own host keys", items=_STRING),
        "operatorUser": Property("string", "the account that operators log in as"),
        "agentBuild": Property("string", "sha256 of the installed bundle"),
        "certificateExpires": Property("number", "when the node's certificate ends: seconds since 1970"),
        "manifestSerial": Property("integer", "serial of the settings in force"),
        "expires": Property("string", "when the node expires: RFC 3339, UTC; empty: never"),
        "authorityFingerprint": Property("string", "under whose authority it is"),
        "trusts": Property("array", "authorities that it accepts: two while one takes over", items=_STRING),
        "health": Property("string", "serving, or what is wrong with it"),
        "enrolled": Property("boolean", "whether it came under the authority; the fleet may go on without it"),
    }
    asked_once = frozenset({"bootstrapPrivateKey"})
    volatile = frozenset(
        {
            "agentBuild",
            "authorityFingerprint",
            "certificateExpires",
            "manifestSerial",
            "expires",
            "trusts",
            "health",
            "enrolled",
        }
    )

    def drift(self, context: Context, state: Properties) -> Difference:
        """Mend what read found; renew a certificate in time; start anew under another authority."""
        if state["authorityFingerprint"] not in context.trusted_fingerprints:
            return Difference(replaces=("authorityFingerprint",))
        if _is_missing(state):
            return Difference(updates=("enrolled",))
        stale = []
        if _trusts(state) != context.trusted_fingerprints:
            stale.append("trusts")
        if state.get("health", "serving") != "serving":
            stale.append("health")
        if state["certificateExpires"] - time.time() < RENEW_BEFORE_S:
            stale.append("certificateExpires")
        return Difference(updates=tuple(stale))

    def preview_updated(self, state: Properties, news: Properties) -> Properties:
        """Of a node that was not enrolled nothing is known yet."""
        if _is_missing(state):
            return self.preview_created(news)
        known = super().preview_updated(state, news)
        return {**known, "sshHostKeys": UNKNOWN} if _renews_keys(state, news) else known

    async def create(self, context: Context, inputs: Properties) -> Created:
        """Enrol it; where the fleet may go on without it, a node that cannot be is remembered as missing."""
        began = time.monotonic()
        try:
            created = await self._enrolled(context, inputs)
        except (NodeError, PartialError) as error:
            # An identity that does not prove itself is never passed over.
            if not inputs.get("enough") or isinstance(error.__cause__, Refused):
                raise
            await context.warn(f"not enrolled: {error.message}")
            return Created(inputs["machineId"], self._missing(context, inputs, error.message))
        stragglers.enrolled(context, inputs["fleet"], inputs["node"], time.monotonic() - began)
        return created

    async def _enrolled(self, context: Context, inputs: Properties) -> Created:
        """Enrol over the bootstrap key; a node that an interrupted create enrolled already is adopted."""
        enroller = Enroller(context, inputs)
        endpoint = _endpoint(inputs, (inputs["bootstrapHostKey"],))
        try:
            result = await enroller.first(endpoint)
        except Refused as refusal:
            # The single-use key is spent. If an interrupted create of ours spent it, the node proves itself by
            # its certificate; everybody else stays refused.
            keys = await enroller.adoptable_host_keys()
            if keys is None:
                raise refusal from None
            await context.status("adopting a node that is enrolled already")
            result = await enroller.again(_endpoint(inputs, keys))
        # From here on the node has its own keys, so the state must know them, whatever else fails.
        try:
            await enroller.confirm(endpoint, result)
            outputs = await self._served(context, inputs, result)
            return Created(inputs["machineId"], outputs)
        except GaxxError as error:
            outputs = self._outputs(context, inputs, result, health=error.message)
            raise PartialError(Created(inputs["machineId"], outputs), error) from error

    async def read(self, context: Context, resource_id: str, state: Properties) -> Properties | None:
        """Ask the agent whether it serves, and with the settings that we think it has."""
        del resource_id
        if _is_missing(state):
            return state
        try:
            known = context.authority_of(state["authorityFingerprint"])
            health = await Enroller(context, state, known).health(_endpoint(state, tuple(state["sshHostKeys"])))
        except (NodeError, Refused) as error:
            return {**state, "health": error.message}
        if health.machine and health.machine != state["machineId"]:
            return {**state, "health": "another machine answers"}
        if not health.runner_alive:
            return {**state, "health": "runner dead"}
        if health.manifest_serial != state["manifestSerial"]:
            return {**state, "health": f"has settings {health.manifest_serial}, not {state['manifestSerial']}"}
        stragglers.found_serving(context, state["fleet"], state["node"])
        return {**state, "health": "serving"}

    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        """Apply the settings again, in place; this also starts what is dead. What was missing is tried again."""
        if _is_missing(state):
            return (await self.create(context, news)).outputs
        same_trust = _trusts(state) == context.trusted_fingerprints
        if state.get("health") == "serving" and same_trust and not _applies(state, news):
            return {name: state[name] for name in self.outputs if name in state}
        enroller = Enroller(context, news, context.authority_of(state["authorityFingerprint"]))
        # A rotation that was cut short may have brought a key into use that no state knows.
        announced = announced_keys.find(context.trusted, state["machineId"])
        endpoint = _endpoint(news, (*state["sshHostKeys"], *([announced] if announced else [])))
        renews = _renews_keys(state, news)
        result = await enroller.again(endpoint, renew_keys=renews)
        try:
            if renews:
                await enroller.confirm(endpoint, result)
            return await self._served(context, news, result)
        except GaxxError as error:
            outputs = self._outputs(context, news, result, health=error.message)
            raise PartialError(Created(resource_id, outputs), error) from error

    async def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """The machine goes with everything on it."""
        del resource_id
        for authority in context.trusted:
            announced_keys.forget(authority, state["machineId"])

    async def _served(self, context: Context, inputs: Properties, result: Result) -> Properties:
        await context.status("asking the agent")
        begin = time.monotonic()
        while True:
            endpoint = _endpoint(inputs, result.host_keys)
            # Whoever may log in now is read by sshd starting itself anew: for a moment nobody listens.
            health = await Enroller(context, inputs).health(endpoint, patience_s=ssh_session.CONNECT_LIMIT_S)
            # An agent whose runner was started anew finds it by itself, and nothing tells us when.
            if health.runner_alive or time.monotonic() - begin > _RUNNER_LIMIT_S:
                break
            await asyncio.sleep(_POLL_S)
        if not health.runner_alive:
            raise NodeError(inputs["node"], "the agent answers, but its runner does not")
        return self._outputs(context, inputs, result, health="serving")

    def _outputs(self, context: Context, inputs: Properties, result: Result, *, health: str) -> Properties:
        return {
            "sshHostKeys": list(result.host_keys),
            "operatorUser": result.operator_user,
            "agentBuild": result.bundle,
            "certificateExpires": result.certificate_expires,
            "manifestSerial": result.serial,
            "expires": manifest.expiry(inputs),
            "authorityFingerprint": context.authority.fingerprint,
            "trusts": context.trusted_fingerprints,
            "health": health,
            "enrolled": True,
        }

    def _missing(self, context: Context, inputs: Properties, reason: str) -> Properties:
        nobody = Result((inputs["bootstrapHostKey"],), "", 0.0, 0, "")
        return {**self._outputs(context, inputs, nobody, health=reason), "enrolled": False}


def _is_missing(state: Properties) -> bool:
    return state.get("enrolled") is False


def _applies(state: Properties, news: Properties) -> bool:
    """Whether anything changes that the node itself gets to know."""
    names = Enrolment.inputs.keys() - Enrolment.asked_once
    changed = {name for name in names if (state.get(name) or None) != (news.get(name) or None)}
    renewed = state["certificateExpires"] - time.time() < RENEW_BEFORE_S
    return renewed or not changed or bool(changed - {"enough", "jumpHost"})


def _renews_keys(state: Properties, news: Properties) -> bool:
    return int(state.get("keyGeneration") or 1) != int(news.get("keyGeneration") or 1)


def _trusts(state: Properties) -> list[str]:
    return list(state.get("trusts") or [state["authorityFingerprint"]])


def _endpoint(inputs: Properties, host_keys: tuple[str, ...]) -> Endpoint:
    jump = inputs.get("jumpHost") or ""
    return Endpoint(inputs["node"], inputs["sshHost"], inputs["sshPort"], host_keys, jump)
