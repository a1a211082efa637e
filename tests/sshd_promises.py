"""What a node's sshd promises, whatever its release: keys only, nobody as root, nothing weak."""

import re
from collections.abc import Mapping

_SETTINGS = {
    "permitrootlogin": "no",
    "passwordauthentication": "no",
    "kbdinteractiveauthentication": "no",
    "authenticationmethods": "publickey",
    "x11forwarding": "no",
    "permittunnel": "no",
    "permituserenvironment": "no",
    "permitlisten": "none",
    "trustedusercakeys": "/etc/gaxx/authority_ssh.pub",
    "authorizedprincipalsfile": "/etc/gaxx/principals/%u",
    "hostkeyalgorithms": "ssh-ed25519",
}
_WEAK = re.compile(r"cbc|3des|sha1\b|md5|group1|group14")


def assert_kept(settings: Mapping[str, str]) -> None:
    """Hold what `sshd -T` says to it."""
    assert {name: settings[name] for name in _SETTINGS} == _SETTINGS
    for name in ("ciphers", "macs", "kexalgorithms"):
        assert not _WEAK.search(settings[name])
