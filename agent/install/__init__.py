"""What enrolment does on the node, from inside the verified bundle: keys, files, services.

__main__.py   the verbs that the root-owned helper calls after it has checked the signature
layout.py     where everything lies below the machine's root
keys.py       the node's own TLS key and SSH host key; private parts never leave
settings.py   the manifest's settings as files: who may log in, what items see
packages.py   the declared packages (real machines)
apt.py        how apt and dpkg are run: no questions, locks waited for
clock.py      one time service, switched on
upkeep.py     the distribution's security updates, in the background; upkeep_units.py: what starts it
progress.py   lines for whoever waits
processes.py  services as plain processes (local nodes)
"""
