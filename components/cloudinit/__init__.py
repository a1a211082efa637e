"""The user-data that a machine boots with: small, the same bytes for the same keys, nothing in it that can change.

user_data.py         Bootstrap -> #cloud-config text
files/               what it writes on the machine, each as it is read there
  gaxx_enrol.py      the helper, root-owned: the bootstrap user's only right
  *.conf, sudoers    sshd and sudo
"""

from components.cloudinit.user_data import BOOTSTRAP_USER, HELPER, HELPER_COMMAND, Bootstrap, render

__all__ = ["BOOTSTRAP_USER", "HELPER", "HELPER_COMMAND", "Bootstrap", "render"]
