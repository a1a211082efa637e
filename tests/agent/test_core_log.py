"""What gRPC's core says of a refused handshake, in the words of an audit line."""

import pytest

from agent.core_log import refused_handshake

_BEGIN = "I1122 06:27:10.456510   16510 ssl_transport_security.cc:2563] Handshake failed with error SSL_ERROR_SSL: "
_ROUTINE = "error:1000007d:SSL routines:OPENSSL_internal:"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (f"{_BEGIN}{_ROUTINE}CERTIFICATE_VERIFY_FAILED: certificate has expired", "certificate has expired"),
        (f"{_BEGIN}{_ROUTINE}PEER_DID_NOT_RETURN_A_CERTIFICATE: Invalid context", "no client certificate"),
        (f"{_BEGIN}{_ROUTINE}UNSUPPORTED_PROTOCOL", "unsupported protocol"),
        ("I1122 06:27:10.456510   16510 chttp2_transport.cc:1403] Got goaway", ""),
    ],
)
def test_the_reason_is_found(said: str, why: str) -> None:
    assert refused_handshake(said) == why
