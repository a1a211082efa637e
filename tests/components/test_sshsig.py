"""What the authority signs is judged by OpenSSH's own program, as the nodes do."""

import pathlib
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components import sshsig

KEY = ec.derive_private_key(0xA11CE, ec.SECP256R1())


def ssh_keygen_accepts(folder: pathlib.Path, data: bytes, signature: str, namespace: str, line: str) -> bool:
    (folder / "signers").write_text(f'authority namespaces="{namespace}" {line}\n')
    (folder / "signature").write_text(signature)
    command = ["ssh-keygen", "-Y", "verify", "-n", namespace, "-I", "authority"]
    command += ["-f", str(folder / "signers"), "-s", str(folder / "signature")]
    return subprocess.run(command, input=data, capture_output=True, check=False, timeout=30).returncode == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), scalar=st.integers(1, 2**255))
def test_a_signature_by_any_key_over_any_bytes_satisfies_ssh_keygen(
    tmp_path: pathlib.Path, data: bytes, scalar: int
) -> None:
    key = ec.derive_private_key(scalar, ec.SECP256R1())
    signature = sshsig.sign(data, "gaxx-bundle", key)
    assert ssh_keygen_accepts(tmp_path, data, signature, "gaxx-bundle", sshsig.public_key_line(key.public_key()))


@pytest.mark.parametrize("fault", ["other data", "other namespace", "other key", "cut signature"])
def test_a_signature_that_does_not_belong_is_refused_by_ssh_keygen(tmp_path: pathlib.Path, fault: str) -> None:
    data, namespace, key = b"bundle", "gaxx-bundle", KEY.public_key()
    signature = sshsig.sign(data, namespace, KEY)
    if fault == "other data":
        data = b"bundlE"
    elif fault == "other namespace":
        namespace = "gaxx-manifest"
    elif fault == "other key":
        key = ec.derive_private_key(0xB0B, ec.SECP256R1()).public_key()
    else:
        signature = signature.replace("\n", "", 2)
    assert not ssh_keygen_accepts(tmp_path, data, signature, namespace, sshsig.public_key_line(key))


def test_the_public_key_line_is_the_one_that_the_library_writes() -> None:
    expected = KEY.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert sshsig.public_key_line(KEY.public_key()) == expected.decode()
