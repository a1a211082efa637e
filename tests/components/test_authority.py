"""The authority's certificates, tokens and signatures, each judged by the program that will rely on it."""

import concurrent.futures
import pathlib
import re
import socket
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from components import authority
from components.authority import Authority
from components.errors import GaxxError, Refused

AUTHORITY = Authority.create("gaxx demo")


def make_key_and_csr(key: "ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None" = None) -> tuple[str, str]:
    private = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whatever the sender likes")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(private, hashes.SHA256())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode(), csr.public_bytes(serialization.Encoding.PEM).decode()


def context(folder: pathlib.Path, *, server: bool, key: str, certificate: str, root: str) -> ssl.SSLContext:
    result = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    result.verify_mode = ssl.CERT_REQUIRED
    result.verify_flags |= ssl.VERIFY_X509_STRICT
    path = folder / ("server.pem" if server else "client.pem")
    path.write_text(key + certificate)
    result.load_cert_chain(path)
    result.load_verify_locations(cadata=root)
    return result


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, server_name: str) -> dict[str, object]:
    """Connect the two over a socket pair; give the client certificate as the server saw it, or raise SSLError."""
    server_end, client_end = socket.socketpair()

    def serve() -> dict[str, object]:
        with server_end, server.wrap_socket(server_end, server_side=True) as stream:
            seen = stream.getpeercert()
            stream.sendall(b"!")
            return dict(seen or {})

    with concurrent.futures.ThreadPoolExecutor(1) as pool, client_end:
        served = pool.submit(serve)
        # TLS 1.3 tells a client that it was refused only at its first read.
        with client.wrap_socket(client_end, server_hostname=server_name) as stream:
            stream.recv(1)
        return served.result()


@pytest.fixture
def node_side(tmp_path: pathlib.Path) -> ssl.SSLContext:
    key, csr = make_key_and_csr()
    certificate = AUTHORITY.sign_node_csr(
        csr, name="demo-1", dns_names=["demo-1.demo.gaxx"], addresses=["127.3.4.1"], days=1
    )
    return context(tmp_path, server=True, key=key, certificate=certificate, root=AUTHORITY.certificate_pem)


def client_side(folder: pathlib.Path, issuer: Authority = AUTHORITY, days: float = 1) -> ssl.SSLContext:
    key, csr = make_key_and_csr()
    certificate = issuer.sign_client_csr(csr, name="ada", role="operator", days=days)
    return context(folder, server=False, key=key, certificate=certificate, root=AUTHORITY.certificate_pem)


@pytest.mark.parametrize("server_name", ["demo-1.demo.gaxx", "127.3.4.1"])
def test_node_and_operator_trust_each_other_by_name_and_by_address(
    tmp_path: pathlib.Path, node_side: ssl.SSLContext, server_name: str
) -> None:
    seen = shake_hands(node_side, client_side(tmp_path), server_name)
    assert seen["subjectAltName"] == (("URI", "gaxx:operator:ada"),)


def test_a_node_of_another_name_is_refused(tmp_path: pathlib.Path, node_side: ssl.SSLContext) -> None:
    with pytest.raises(ssl.SSLError, match="Hostname mismatch"):
        shake_hands(node_side, client_side(tmp_path), "demo-2.demo.gaxx")


@pytest.mark.parametrize("fault", ["another authority", "expired", "a node's certificate"])
def test_a_client_that_cannot_prove_itself_is_refused(
    tmp_path: pathlib.Path, node_side: ssl.SSLContext, fault: str
) -> None:
    if fault == "another authority":
        client = client_side(tmp_path, Authority.create("gaxx demo"))
    elif fault == "expired":
        client = client_side(tmp_path, days=-0.001)
    else:
        key, csr = make_key_and_csr()
        certificate = AUTHORITY.sign_node_csr(csr, name="demo-2", dns_names=["x.gaxx"], addresses=[], days=1)
        client = context(tmp_path, server=False, key=key, certificate=certificate, root=AUTHORITY.certificate_pem)
    with pytest.raises(ssl.SSLError):
        shake_hands(node_side, client, "demo-1.demo.gaxx")


def test_an_operators_certificate_cannot_pose_as_a_node(tmp_path: pathlib.Path) -> None:
    key, csr = make_key_and_csr()
    posing = AUTHORITY.sign_client_csr(csr, name="demo-1.demo.gaxx", role="operator", days=1)
    server = context(tmp_path, server=True, key=key, certificate=posing, root=AUTHORITY.certificate_pem)
    client = client_side(tmp_path)
    client.check_hostname = False
    with pytest.raises(ssl.SSLError, match="certificate purpose"):
        shake_hands(server, client, "demo-1.demo.gaxx")


def test_the_name_comes_from_us_and_never_from_the_request() -> None:
    _, csr = make_key_and_csr()
    certificate = AUTHORITY.sign_client_csr(csr, name="ada", role="observer", days=1)
    subject = x509.load_pem_x509_certificate(certificate.encode()).subject
    assert subject.rfc4514_string() == "CN=ada"


def test_serials_are_128_bits_and_never_repeat() -> None:
    _, csr = make_key_and_csr()
    serials = {
        authority.certificate_serial(AUTHORITY.sign_client_csr(csr, name="a", role="operator", days=1))
        for _ in range(20)
    }
    assert len(serials) == 20
    assert {len(serial) for serial in serials} == {32}


@pytest.mark.parametrize("fault", ["tampered", "not a request", "weak curve", "rsa"])
def test_an_unfit_signing_request_is_refused(fault: str) -> None:
    _, csr = make_key_and_csr()
    if fault == "tampered":
        der = bytearray(x509.load_pem_x509_csr(csr.encode()).public_bytes(serialization.Encoding.DER))
        der[-1] ^= 1
        csr = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM).decode()
    elif fault == "not a request":
        csr = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"
    elif fault == "weak curve":
        _, csr = make_key_and_csr(ec.generate_private_key(ec.SECP224R1()))
    else:
        _, csr = make_key_and_csr(rsa.generate_private_key(65537, 2048))
    with pytest.raises(Refused):
        AUTHORITY.sign_client_csr(csr, name="ada", role="operator", days=1)


def test_what_the_authority_writes_it_reads_again() -> None:
    again = Authority.from_pem(AUTHORITY.pem)
    assert again.fingerprint == AUTHORITY.fingerprint
    assert again.certificate_pem == AUTHORITY.certificate_pem


@pytest.mark.parametrize("fault", ["empty", "no certificate", "no key", "another's certificate", "another curve"])
def test_an_unreadable_authority_key_is_one_error_that_does_not_quote_it(fault: str) -> None:
    key, certificate = AUTHORITY.pem.split("-----BEGIN CERTIFICATE-----")
    certificate = "-----BEGIN CERTIFICATE-----" + certificate
    if fault == "another curve":
        key, _ = make_key_and_csr(ec.generate_private_key(ec.SECP384R1()))
    text = {
        "empty": "",
        "no certificate": key,
        "no key": certificate,
        "another's certificate": key + Authority.create("x").certificate_pem,
    }.get(fault, key + certificate)
    with pytest.raises(GaxxError) as caught:
        Authority.from_pem(text)
    assert key.splitlines()[1] not in str(caught.value)


def test_nothing_printed_of_an_authority_holds_its_key() -> None:
    assert repr(AUTHORITY) == f"Authority(fingerprint='{AUTHORITY.fingerprint}')"


def test_a_token_depends_on_key_principal_and_generation_alone() -> None:
    token = AUTHORITY.token("ada")
    assert token == Authority.from_pem(AUTHORITY.pem).token("ada", 1)
    others = {AUTHORITY.token("bob"), AUTHORITY.token("ada", 2), Authority.create("gaxx demo").token("ada")}
    assert len({token, *others}) == 4
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)


def test_openssh_reads_the_user_certificate_as_it_was_meant(tmp_path: pathlib.Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    certificate = AUTHORITY.sign_ssh_user(f"{line} ada@desk", principals=["ada", "root"], valid_s=600, key_id="ada-1")
    path = tmp_path / "id-cert.pub"
    path.write_text(certificate + "\n")
    command = ["ssh-keygen", "-L", "-f", str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    words = [line.strip() for line in shown.splitlines()]
    assert "Type: ssh-ed25519-cert-v01@openssh.com user certificate" in words
    assert 'Key ID: "ada-1"' in words
    assert words[words.index("Principals:") + 1 :][:2] == ["ada", "root"]
    (tmp_path / "ca.pub").write_text(AUTHORITY.ssh_public_key + "\n")
    command = ["ssh-keygen", "-l", "-f", str(tmp_path / "ca.pub")]
    fingerprint = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split()[1]
    assert any(word.startswith("Signing CA: ECDSA") and fingerprint in word for word in words)


@pytest.mark.parametrize("line", ["", "ssh-ed25519", "not a key", "-----BEGIN OPENSSH PRIVATE KEY-----"])
def test_only_a_public_ssh_key_is_certified(line: str) -> None:
    with pytest.raises(Refused):
        AUTHORITY.sign_ssh_user(line, principals=["ada"], valid_s=600, key_id="ada")


def test_an_ssh_certificate_for_every_account_is_refused() -> None:
    with pytest.raises(Refused, match="principals"):
        AUTHORITY.sign_ssh_user("ssh-ed25519 AAAA", principals=[], valid_s=600, key_id="ada")


def test_a_detached_signature_satisfies_ssh_keygen_with_the_authoritys_key(tmp_path: pathlib.Path) -> None:
    (tmp_path / "signers").write_text(f'authority namespaces="gaxx-manifest" {AUTHORITY.ssh_public_key}\n')
    (tmp_path / "signature").write_text(AUTHORITY.sign_detached(b"{}", authority.MANIFEST_NAMESPACE))
    command = ["ssh-keygen", "-Y", "verify", "-n", "gaxx-manifest", "-I", "authority"]
    command += ["-f", str(tmp_path / "signers"), "-s", str(tmp_path / "signature")]
    subprocess.run(command, input=b"{}", capture_output=True, check=True, timeout=30)
