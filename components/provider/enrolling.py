"""The steps of an enrolment, over one SSH connection: facts, bundle, identity, settings, and back over the new key."""

import asyncio
import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import struct
import time
import typing
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from components import bundle
from components.authority import Authority
from components.errors import NodeError, Refused
from components.jump_host import JumpHostError
from components.places import cache_dir
from components.provider import announced_keys, manifest, ssh_session, stragglers
from components.provider.agent_probe import PROBE_PRINCIPAL, Health, probe
from components.provider.context import Context
from components.provider.ssh_session import Endpoint, Login, Session
from components.provider.wire import Properties

ENROL_PRINCIPAL = "gaxx-enrol"
CERTIFICATE_VALID_S = 86_400.0
"""A node whose clock is ahead by hours must still let us in, to be mended. The key dies with the connection."""
CONTACT_LIMIT_S = 600.0
"""How long a machine may take from its creation to its first SSH banner (slow emulation included)."""
JUMP_LIMIT_S = 20.0
"""For how long a jump host may be out of use before that is the answer."""
CLOUD_INIT_LIMIT_S = 900.0
APPLY_SILENCE_LIMIT_S = 300.0
"""Packages take minutes, and say every few seconds how far they are; an apply that was left alone must end first."""
_POLL_S = 0.5
_BEHIND_POLL_S = 2.0
"""Each question is a log-in at the jump host."""

_bundle_locks: dict[tuple[str, str], asyncio.Lock] = {}
_bundles: dict[tuple[str, str], bundle.Bundle] = {}
"""By Python and architecture: one operation of the engine installs one agent, whatever happens to its sources."""
_push_locks: dict[str, asyncio.Lock] = {}
_pushed: set[tuple[str, str]] = set()
"""(bundle store, bundle) that this process has filled: who waited for it need not ask the node again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What an enrolment leaves to be remembered."""

    host_keys: tuple[str, ...]
    bundle: str
    certificate_expires: float
    serial: int
    operator_user: str


class Enroller:
    """Enrols one node; `known` is the authority that it trusts so far, where that is not the stack's."""

    def __init__(self, context: Context, inputs: Properties, known: Authority | None = None) -> None:
        self._context = context
        self._inputs = inputs
        self._known = known or context.authority
        self._began = time.monotonic()

    async def first(self, endpoint: Endpoint) -> Result:
        """Over the bootstrap key; raise Refused when it or the host key is not accepted."""
        login = Login(self._inputs["sshUser"], self._inputs["bootstrapPrivateKey"])
        await self._context.status(f"waiting for SSH on {endpoint.host}:{endpoint.port}")
        return await self._enrol(endpoint, login, patience_s=CONTACT_LIMIT_S)

    async def confirm(self, endpoint: Endpoint, result: Result) -> None:
        """Come back over the new host key: only that proves that it works, and only then the old one is forgotten."""
        renewed = dataclasses.replace(endpoint, host_keys=result.host_keys)
        login = await self._context.blocking(self._certified_login)
        stack = contextlib.ExitStack()
        # sshd takes the new key by starting itself anew: for a moment nobody listens.
        session = await self._contact(stack, renewed, login, ssh_session.CONNECT_LIMIT_S)
        try:
            await self._context.blocking(session.call, self._verb("confirm"))
        finally:
            await self._context.blocking(stack.close)

    async def again(self, endpoint: Endpoint, *, renew_keys: bool = False) -> Result:
        """Over a certificate of the authority that is valid for minutes; with new keys of the node's, on demand."""
        login = await self._context.blocking(self._certified_login)
        return await self._enrol(endpoint, login, patience_s=ssh_session.CONNECT_LIMIT_S, renew_keys=renew_keys)

    async def adoptable_host_keys(self) -> tuple[str, ...] | None:
        """Host keys of a node that is enrolled already; None when none proves itself.

        Its agent says them over TLS; where only SSH leads to the node, they are what it announced to this computer.
        """
        if self._inputs["reach"] == "direct":
            with contextlib.suppress(NodeError):
                health = await self._probe()
                if health.machine == self._inputs["machineId"] and health.ssh_host_keys:
                    return health.ssh_host_keys
        announced = announced_keys.find(self._context.trusted, self._inputs["machineId"])
        # It may not have come to use it.
        return (announced, self._inputs["bootstrapHostKey"]) if announced else None

    async def health(self, endpoint: Endpoint, *, patience_s: float = 0.0) -> Health:
        """Ask how the node serves, by the way that its `reach` names; raise GaxxError when it does not.

        `patience_s`: for an sshd that is just reading its settings anew.
        """
        if self._inputs["reach"] == "direct":
            return await self._probe()
        login = await self._context.blocking(self._certified_login)
        stack = contextlib.ExitStack()
        session = await self._contact(stack, endpoint, login, patience_s)
        try:
            told = await self._context.blocking(session.call, self._verb("status"))
        finally:
            await self._context.blocking(stack.close)
        if told["agentFault"]:
            raise NodeError(self._inputs["node"], told["agentFault"])
        return Health(told["machine"], told["manifestSerial"], told["runnerAlive"], (told["sshHostKey"],))

    async def _probe(self) -> Health:
        return await probe(self._known, self._context.trusted_pem, self._inputs)

    async def _enrol(self, endpoint: Endpoint, login: Login, *, patience_s: float, renew_keys: bool = False) -> Result:
        stack = contextlib.ExitStack()
        session = await self._contact(stack, endpoint, login, patience_s)
        try:
            facts = await self._facts(session)
            built = await self._built(facts)
            await self._push(session, facts, built)
            await self._context.status("exchanging keys")
            say = self._sayer(asyncio.get_running_loop())
            return await self._context.blocking(self._settle, session, built.sha256, renew_keys, say)
        finally:
            await self._context.blocking(stack.close)

    async def _contact(
        self, stack: contextlib.ExitStack, endpoint: Endpoint, login: Login, patience_s: float
    ) -> Session:
        deadline = time.monotonic() + patience_s
        jump_deadline = float("inf")
        while True:
            try:
                return await self._context.blocking(stack.enter_context, ssh_session.connect(endpoint, login))
            except ssh_session.UnreachableError:
                # A machine that boots cannot say when it is done; its first banner is the event.
                if time.monotonic() > deadline or self._late():
                    raise
                jump_deadline = float("inf")
            except JumpHostError:
                # A jump host is not about to boot: one that is not there is a wrong name, and soon said.
                jump_deadline = min(jump_deadline, time.monotonic() + JUMP_LIMIT_S)
                if time.monotonic() > min(deadline, jump_deadline) or self._late():
                    raise
            await asyncio.sleep(_BEHIND_POLL_S if endpoint.jump_host else _POLL_S)

    async def _facts(self, session: Session) -> Properties:
        deadline = time.monotonic() + CLOUD_INIT_LIMIT_S
        for turn in itertools.count():
            facts = await self._context.blocking(session.call, self._verb("facts"))
            state = facts["cloudInit"]
            if state.startswith("error"):
                raise NodeError(self._inputs["node"], f"cloud-init failed on the node: {state.removeprefix('error: ')}")
            if state != "running":
                return facts
            if turn == 0:
                await self._context.status("waiting for cloud-init")
            if time.monotonic() > deadline:
                raise NodeError(self._inputs["node"], f"cloud-init is not done after {CLOUD_INIT_LIMIT_S:.0f} s")
            if self._late():
                raise NodeError(self._inputs["node"], "cloud-init is not done, long after enough others were enrolled")
            await asyncio.sleep(_POLL_S)
        raise AssertionError  # count() does not end

    def _late(self) -> bool:
        waited_s = time.monotonic() - self._began
        return stragglers.is_late(self._context, self._inputs["fleet"], int(self._inputs.get("enough") or 0), waited_s)

    async def _built(self, facts: Properties) -> bundle.Bundle:
        key = (facts["python"], facts["architecture"])
        async with _bundle_locks.setdefault(key, asyncio.Lock()):
            if key not in _bundles:
                await self._context.status(f"building the agent for Python {key[0]} on {key[1]}")
                _bundles[key] = await self._context.blocking(bundle.build, *key, cache_dir() / "bundles")
            return _bundles[key]

    async def _push(self, session: Session, facts: Properties, built: bundle.Bundle) -> None:
        if built.sha256 in facts["bundles"]:
            return
        # Nodes that share a bundle store (local ones) need it once: the others see it when their turn comes.
        store = str(facts.get("bundleStore") or self._inputs["node"])
        async with _push_locks.setdefault(store, asyncio.Lock()):
            if (store, built.sha256) in _pushed:
                return
            await self._context.status(f"pushing the agent ({built.path.stat().st_size / 1e6:.1f} MB)")
            await self._context.blocking(self._push_bundle, session, built)
            if facts.get("bundleStore"):
                _pushed.add((store, built.sha256))

    def _push_bundle(self, session: Session, built: bundle.Bundle) -> None:
        data = built.path.read_bytes()
        session.call(self._verb(f"bundle {built.sha256} {len(data)}"), self._signed(data, "gaxx-bundle"))

    def _sayer(self, loop: asyncio.AbstractEventLoop) -> Callable[[str], None]:
        """What a thread may call with the words of the node."""

        def say(words: str) -> None:
            asyncio.run_coroutine_threadsafe(self._context.status(f"installing packages: {words}"), loop)

        return say

    def _settle(
        self,
        session: Session,
        sha256: str,
        renew_keys: bool,  # noqa: FBT001 - passed to a thread
        say: Callable[[str], None],
    ) -> Result:
        authority = self._context.authority
        request = json.dumps({"node": self._inputs["node"], "renewKeys": renew_keys}).encode()
        identity = session.call(self._verb(f"identity {sha256}"), request)
        certificate = authority.sign_node_csr(
            identity["csr"],
            name=self._inputs["node"],
            dns_names=[self._inputs["tlsName"]],
            addresses=[self._inputs["address"]],
            days=manifest.NODE_DAYS,
        )
        announced_keys.keep(self._context.trusted, self._inputs["machineId"], identity["sshHostKey"])
        serial = int(time.time() * 1000)
        token = authority.token(PROBE_PRINCIPAL)
        body = manifest.compose(
            self._inputs,
            serial=serial,
            certificate=certificate,
            authority_certificates=self._context.trusted_pem,
            authorities_ssh=[one.ssh_public_key for one in self._context.trusted],
            bundle=sha256,
            extra_principals=(
                {
                    "name": PROBE_PRINCIPAL,
                    "role": "observer",
                    "tokenSha256": hashlib.sha256(token.encode()).hexdigest(),
                    "sshPublicKey": "",
                    "certificateSerial": "",
                },
            ),
        )
        signed = self._signed(body, "gaxx-manifest")
        answer = session.call(self._verb(f"apply {sha256}"), signed, limit_s=APPLY_SILENCE_LIMIT_S, say=say)
        if answer["sshHostKey"] != identity["sshHostKey"]:
            message = f"{self._inputs['node']}: the node brought another host key into use than it announced"
            raise Refused(message)
        expires = x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc.timestamp()
        return Result((identity["sshHostKey"],), sha256, expires, serial, answer["operatorUser"])

    def _certified_login(self) -> Login:
        key = ed25519.Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        certificate = self._known.sign_ssh_user(
            public.decode(), principals=[ENROL_PRINCIPAL], valid_s=CERTIFICATE_VALID_S, key_id="enrolment"
        )
        return Login(self._inputs["sshUser"], private.decode(), certificate)

    def _signed(self, data: bytes, namespace: str) -> typing.BinaryIO:
        signature = self._known.sign_detached(data, namespace).encode()
        return io.BytesIO(struct.pack(">I", len(signature)) + signature + data)

    def _verb(self, verb: str) -> str:
        return f"{self._inputs['helper']} {verb}"
