"""Bootstrap keys into #cloud-config text; written by hand so that the bytes never depend on a YAML library."""

import dataclasses
import pathlib
import textwrap

from components.errors import GaxxError
from components.firewall_rules import boot_rules, nftables

BOOTSTRAP_USER = "gaxx-enrol"
HELPER = "/usr/local/sbin/gaxx-enrol"
HELPER_COMMAND = f"sudo -n {HELPER}"
"""How the bootstrap user calls the helper on a machine (a local node calls it without sudo)."""

_FILES = pathlib.Path(__file__).parent / "files"


@dataclasses.dataclass(frozen=True, slots=True)
class Bootstrap:
    """All that distinguishes one machine's user-data from another's. The private key is worthless after enrolment."""

    host_private_key: str = dataclasses.field(repr=False)
    """OpenSSH's private format, ed25519."""
    host_public_key: str
    user_public_key: str
    """Whose private half enrols the machine, once."""
    authority_ssh: str
    """The authority's public key in OpenSSH's form."""


def render(bootstrap: Bootstrap) -> str:
    """Write the user-data; raise GaxxError when a key is not a key."""
    host_public = _public("the host key", bootstrap.host_public_key, "ssh-ed25519")
    user_public = _public("the bootstrap key", bootstrap.user_public_key, "ssh-ed25519")
    authority = _public("the authority's key", bootstrap.authority_ssh, "ecdsa-sha2-nistp256")
    private = bootstrap.host_private_key.strip()
    if not private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n"):
        message = "the host key is not in OpenSSH's private format"
        raise GaxxError(message)
    files = (
        (HELPER, "0755", _read("gaxx_enrol.py")),
        (
            "/etc/gaxx/authority.allowed_signers",
            "0644",
            f'authority namespaces="gaxx-bundle,gaxx-manifest" {authority}',
        ),
        ("/etc/gaxx/authority_ssh.pub", "", authority),
        (f"/etc/gaxx/principals/{BOOTSTRAP_USER}", "", BOOTSTRAP_USER),
        ("/etc/ssh/sshd_config.d/10-gaxx.conf", "", _read("10-gaxx.conf")),
        ("/etc/ssh/sshd_config.d/20-gaxx-forwarding.conf", "", _read("20-gaxx-forwarding.conf")),
        ("/etc/sudoers.d/gaxx-enrol", "0440", _read("sudoers")),
        ("/etc/nftables.conf", "", nftables(boot_rules())),
    )
    return "".join(
        (
            "#cloud-config\n",
            "package_update: false\n",
            "disable_root: true\nssh_pwauth: false\n",
            "ssh_keys:\n",
            f"  ed25519_private: |\n{_block(private, 4)}",
            f"  ed25519_public: {host_public}\n",
            # Without `default` in the list the image's own user is not made.
            f"users:\n- name: {BOOTSTRAP_USER}\n  lock_passwd: true\n",
            f"  ssh_authorized_keys:\n  - {user_public}\n",
            "write_files:\n",
            *(_file(path, mode, text) for path, mode, text in files),
            # One command: of several, cloud-init reports only the last one's failure.
            "runcmd:\n- >-\n  nft -f /etc/nftables.conf && systemctl enable nftables && systemctl restart ssh\n",
        )
    )


def _file(path: str, mode: str, text: str) -> str:
    # cloud-init's own default is 0644.
    permissions = f"  permissions: '{mode}'\n" if mode else ""
    return f"- path: {path}\n{permissions}  content: |\n{_block(text, 3)}"


def _read(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")


def _block(text: str, columns: int) -> str:
    return textwrap.indent(text.strip("\n") + "\n", " " * columns)


def _public(what: str, line: str, kind: str) -> str:
    words = line.split()
    if "\n" in line.strip() or words[:1] != [kind] or len(words) < 2:  # noqa: PLR2004 - type and key
        message = f"{what} is not an {kind} public key"
        raise GaxxError(message)
    return f"{kind} {words[1]}"
