"""What keeps a machine's security updates current, as text: a service, its timer, and apt's settings for it. Pure.

The service works in the background, with what nobody else wants of processor and disk: no node waits for it.
"""

import typing

from agent.install.units import AGENT_UNIT, environment_lines

SERVICE_UNIT = "gaxx-upkeep.service"
TIMER_UNIT = "gaxx-upkeep.timer"
APT_SETTINGS = "etc/apt/apt.conf.d/95gaxx-upkeep"
"""Read after what unattended-upgrades brings itself."""
NO_ANSWER_STATUS = 75
"""How it exits where no repository answers: to be seen in `systemctl status`, and no failure."""

_SERVICE = """\
[Unit]
Description=Gaxx upkeep: the distribution's security updates, in the background
Wants=network-online.target
After=network-online.target {agent}

[Service]
Type=oneshot
{environment}ExecStart={python} -s -m agent.install.upkeep
SuccessExitStatus={no_answer}
TimeoutStartSec=6h
# A dpkg in the midst of a package is not ended with it.
KillMode=process
Nice=19
CPUSchedulingPolicy=batch
CPUWeight=10
IOSchedulingClass=idle
IOWeight=10
OOMScoreAdjust=500
# dpkg writes everywhere, setuid programs too, and a new kernel asks for devices and modules.
NoNewPrivileges=yes
PrivateTmp=yes
ProtectHome=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @debug @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
CapabilityBoundingSet=~CAP_SYS_BOOT CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_TIME CAP_SYS_PTRACE CAP_SYS_PACCT
CapabilityBoundingSet=~CAP_NET_ADMIN CAP_NET_RAW CAP_BPF CAP_PERFMON CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_SYSLOG
CapabilityBoundingSet=~CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_SYS_TTY_CONFIG CAP_IPC_LOCK CAP_LEASE
KeyringMode=private
LimitCORE=0
"""

_TIMER = """\
[Unit]
Description=Security updates of this machine: when it has come up, and every day that it lives

[Timer]
OnActiveSec=30s
OnUnitInactiveSec=1d
# A fleet is not to ask its mirror all at once.
RandomizedDelaySec=90s
Unit={service}

[Install]
WantedBy=timers.target
"""

_APT_SETTINGS = """\
// Written by Gaxx: security updates alone, by gaxx-upkeep.timer; the distribution's own timers do nothing beside it.
APT::Periodic::Enable "0";
#clear Unattended-Upgrade::Allowed-Origins;
#clear Unattended-Upgrade::Origins-Pattern;
Unattended-Upgrade::Origins-Pattern {
  "origin=Debian,codename=${distro_codename},label=Debian-Security";
  "origin=Debian,codename=${distro_codename}-security,label=Debian-Security";
  "origin=Ubuntu,archive=${distro_codename}-security";
};
Unattended-Upgrade::Automatic-Reboot "false";
Unattended-Upgrade::MinimalSteps "true";
"""


def service(python: str, environment: typing.Mapping[str, str]) -> str:
    """What brings them; `environment` leads `python` to our code."""
    return _SERVICE.format(
        python=python, environment=environment_lines(environment), agent=AGENT_UNIT, no_answer=NO_ANSWER_STATUS
    )


def timer() -> str:
    """What starts it."""
    return _TIMER.format(service=SERVICE_UNIT)


def apt_settings() -> str:
    """What it may upgrade."""
    return _APT_SETTINGS
