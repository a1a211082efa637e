"""The systemd units of a machine's agent and runner, as text. Pure.

The agent holds keys and talks to the network: a full sandbox, no capability, its secrets by LoadCredential.
The runner executes items: another user, no keys, no network of its own, a cgroup subtree of its own.
`systemd-analyze security` judges both in the tests.
"""

import datetime as dt
import typing

AGENT_USER = "gaxx-agent"
RUNNER_USER = "gaxx-runner"
WORK_GROUP = "gaxx-work"
"""Both are in it: the agent puts files where items read them, and reads what items leave."""

AGENT_UNIT = "gaxx-agent.service"
RUNNER_UNIT = "gaxx-runner.service"
RUNNER_SOCKET_UNIT = "gaxx-runner.socket"
RUNNER_SOCKET = "/run/gaxx/runner.sock"
STATE = "/var/lib/gaxx"
AUDIT = f"{STATE}/audit"
SYSTEM_RESERVE_BYTES = 256 * 1024 * 1024
"""What a machine needs beside its items: kernel, agent, runner, sshd, journal, security updates in the background."""
JOURNAL_GROUP = "systemd-journal"
"""May read the journal: the audit trail has who came over SSH from there."""

_CLOSED = """\
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
UMask=0007
LimitCORE=0
"""

_AGENT = """\
[Unit]
Description=Gaxx agent: answers the stack's operators over mutual TLS
Wants=network-online.target
After=network-online.target {socket}
Requires={socket}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
User={user}
SupplementaryGroups={group} {journal}
WorkingDirectory=/run/gaxx-agent
RuntimeDirectory=gaxx-agent
RuntimeDirectoryMode=0700
{environment}Environment=GAXX_AGENT_TOKEN_FILE=%d/tokens GAXX_AGENT_TLS_KEY=%d/node.key
LoadCredential=tokens:/etc/gaxx/tokens
LoadCredential=node.key:/etc/gaxx/tls/node.key
ExecStart={python} -s -m agent
ExecReload=/bin/kill -HUP $MAINPID
TimeoutStopSec={drain_s}
Restart=always
RestartSec=1
WatchdogSec=60
# Where memory ends, items go and not who speaks for the machine.
OOMScoreAdjust=-500
ReadWritePaths={state}
{closed}PrivateUsers=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
DevicePolicy=closed
TasksMax=512

[Install]
WantedBy=multi-user.target
"""

_SOCKET = """\
[Unit]
Description=Gaxx runner's socket: the agent's only way to it

[Socket]
ListenStream={path}
SocketUser={agent}
SocketGroup={agent}
SocketMode=0600
DirectoryMode=0755

[Install]
WantedBy=sockets.target
"""

_RUNNER = """\
[Unit]
Description=Gaxx runner: executes items, without keys
Requires={socket}
After={socket}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
User={user}
SupplementaryGroups={group}
WorkingDirectory={state}/work
{environment}ExecStart={python} -s -m agent.runner
ExecReload=/bin/kill -HUP $MAINPID
KillMode=mixed
TimeoutStopSec={drain_s}
Restart=always
RestartSec=1
Delegate=yes
MemoryMax={memory}
TasksMax=8192
# The kernel's own limit counts all of a user's processes: one item would take from the others, and from the runner.
LimitNPROC=infinity
OOMPolicy=continue
ReadWritePaths={state}/work
InaccessiblePaths=/etc/gaxx/tls /etc/gaxx/tokens /etc/gaxx/manifest.json
InaccessiblePaths=-/run/gaxx-agent -{audit}
{closed}ProtectControlGroups=no
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallFilter=@system-service @pkey
SystemCallErrorNumber=EPERM
DevicePolicy=closed

[Install]
WantedBy=multi-user.target
"""

_EXPIRE = """\
[Unit]
Description=The end of this machine: drained, its secrets wiped, powered off

[Service]
Type=oneshot
# In this order, each whatever became of the one before: who drains too slowly must not keep the rest waiting.
ExecStart=-/usr/bin/systemctl stop {agent} {runner} {socket}
ExecStart=-/usr/bin/shred --force --remove /etc/gaxx/tls/node.key /etc/gaxx/tokens /etc/gaxx/env.json
ExecStart=/usr/bin/systemctl poweroff
"""

_EXPIRE_TIMER = """\
[Unit]
Description=When this machine ends by itself, whether or not anybody takes it down

[Timer]
OnCalendar={when}
AccuracySec=1s
# Also when it was off at that moment.
Persistent=yes
Unit={unit}

[Install]
WantedBy=timers.target
"""

_IDLE_PATH = """\
[Unit]
Description=Ends this machine when its agent says that it has been idle for too long

[Path]
PathExists={file}
Unit={unit}

[Install]
WantedBy=paths.target
"""

END_FILE = "/run/gaxx-agent/end"
"""In a folder of the agent's own, which goes with it: nobody else can end the machine in this way."""
EXPIRE_UNIT = "gaxx-expire.service"
IDLE_PATH_UNIT = "gaxx-idle.path"
EXPIRE_TIMER_UNIT = "gaxx-expire.timer"

_DRAIN_S = 30


def agent(python: str, environment: typing.Mapping[str, str]) -> str:
    """The agent's unit; `environment` holds no secret: any user may read it (systemctl show)."""
    return _AGENT.format(
        user=AGENT_USER,
        group=WORK_GROUP,
        journal=JOURNAL_GROUP,
        socket=RUNNER_SOCKET_UNIT,
        environment=environment_lines(environment),
        python=python,
        drain_s=_DRAIN_S,
        state=STATE,
        closed=_CLOSED,
    )


def items_memory_percent(total_bytes: int) -> int:
    """How much of a machine's memory its items may use, all together.

    Where less than SYSTEM_RESERVE_BYTES is left for all else, a machine without swap does not come to the point where
    an item is ended: for minutes it only fetches from the disk what it has just thrown out. In steps of 5, so that a
    kernel that leaves a little more or less does not start the runner anew.
    """
    free = max(total_bytes // 2, total_bytes - SYSTEM_RESERVE_BYTES)
    return min(90, free * 20 // total_bytes * 5)


def runner(python: str, environment: typing.Mapping[str, str], *, memory_percent: int = 90) -> str:
    """The runner's unit; `memory_percent` is of `items_memory_percent`."""
    return _RUNNER.format(
        user=RUNNER_USER,
        group=WORK_GROUP,
        socket=RUNNER_SOCKET_UNIT,
        environment=environment_lines(environment),
        python=python,
        drain_s=_DRAIN_S,
        state=STATE,
        audit=AUDIT,
        memory=f"{memory_percent}%",
        closed=_CLOSED,
    )


def runner_socket() -> str:
    """The socket's unit: it stays while agent and runner come and go."""
    return _SOCKET.format(path=RUNNER_SOCKET, agent=AGENT_USER)


def expire() -> str:
    """The dead-man switch."""
    return _EXPIRE.format(agent=AGENT_UNIT, runner=RUNNER_UNIT, socket=RUNNER_SOCKET_UNIT)


def expire_timer(expires: str) -> str:
    """What pulls it; `expires` is RFC 3339, UTC."""
    when = dt.datetime.fromisoformat(expires).astimezone(dt.UTC)
    return _EXPIRE_TIMER.format(when=f"{when:%Y-%m-%d %H:%M:%S} UTC", unit=EXPIRE_UNIT)


def idle_path() -> str:
    """What pulls it for the agent, which has no right to."""
    return _IDLE_PATH.format(file=END_FILE, unit=EXPIRE_UNIT)


def environment_lines(values: typing.Mapping[str, str]) -> str:
    """The lines of a service that hand it these values as they are."""
    return "".join(f'Environment="{name}={_escaped(value)}"\n' for name, value in sorted(values.items()))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
