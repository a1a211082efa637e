"""gaxx:index:OperatorCertificate: what lets one operator or observer in."""

import datetime as dt
import hashlib
import typing
from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from components.provider.context import Context
from components.provider.resource import Created, Difference, Property, Resource
from components.provider.wire import Properties

VALID_DAYS = 30
RENEW_BEFORE_DAYS = 7


class OperatorCertificate(Resource):
    """A client certificate for the key of the operator's CSR, and the operator's bearer token."""

    pulumi_type = "gaxx:index:OperatorCertificate"
    description = "An operator's or observer's client certificate and bearer token, issued by the stack's authority."
    inputs: typing.ClassVar[Mapping[str, Property]] = {
        "name": Property("string", "name of the operator", replaces=True),
        "role": Property("string", "operator or observer"),
        "csr": Property("string", "PEM of the certificate request; its key never leaves the operator"),
        "sshPublicKey": Property("string", "the operator's public key in OpenSSH's form"),
        "tokenGeneration": Property("integer", "counts rotations: another number is another token"),
        "keyGeneration": Property("integer", "counts rotations: another number is another certificate", required=False),
    }
    outputs: typing.ClassVar[Mapping[str, Property]] = {
        "certificate": Property("string", "PEM"),
        "notAfter": Property("string", "when it expires: RFC 3339, UTC"),
        "serial": Property("string", "its serial number, hex"),
        "keySha256": Property("string", "sha256 of the DER public key, hex"),
        "token": Property("string", "the bearer token", secret=True),
        "tokenSha256": Property("string", "what the nodes keep of it: sha256, hex"),
        "authorityFingerprint": Property("string", "who issued it"),
    }
    volatile = frozenset(outputs)

    def drift(self, context: Context, state: Properties) -> Difference:
        """Renew before it expires, and after the authority has changed."""
        stale = []
        left = dt.datetime.fromisoformat(state["notAfter"]) - dt.datetime.now(dt.UTC)
        if left < dt.timedelta(days=RENEW_BEFORE_DAYS):
            stale.append("notAfter")
        if state["authorityFingerprint"] != context.authority.fingerprint:
            stale.append("authorityFingerprint")
        return Difference(updates=tuple(stale))

    async def create(self, context: Context, inputs: Properties) -> Created:
        """Issue."""
        return Created(inputs["name"], self._issue(context, inputs))

    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        """Issue another; the nodes learn of it by their next manifest."""
        del resource_id, state
        return self._issue(context, news)

    async def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """The nodes forget an operator by their manifest; a certificate cannot be called back."""

    def _issue(self, context: Context, inputs: Properties) -> Properties:
        authority = context.authority
        pem = authority.sign_client_csr(inputs["csr"], name=inputs["name"], role=inputs["role"], days=VALID_DAYS)
        certificate = x509.load_pem_x509_certificate(pem.encode())
        spki = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        token = authority.token(inputs["name"], inputs["tokenGeneration"])
        return {
            "certificate": pem,
            "notAfter": certificate.not_valid_after_utc.isoformat(),
            "serial": f"{certificate.serial_number:x}",
            "keySha256": hashlib.sha256(spki).hexdigest(),
            "token": token,
            "tokenSha256": hashlib.sha256(token.encode()).hexdigest(),
            "authorityFingerprint": authority.fingerprint,
        }
