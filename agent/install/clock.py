"""The machine's clock: kept by NTP, by one service and never by two."""

from agent.install.system import run

_SERVICES = ("systemd-timesyncd", "chrony", "ntpsec", "ntp", "openntpd")
TIMESYNCD = "systemd-timesyncd"


def switch_on() -> bool:
    """Enable what is there unless one keeps the time already; return False where there is none at all."""
    units = _units()
    if any(state.startswith("enabled") for state in units.values()):
        return True
    if units.get(TIMESYNCD) == "disabled":
        run("systemctl", "enable", "--quiet", "--now", f"{TIMESYNCD}.service")
    # Another one that is installed and off, or masked, is somebody's decision.
    return bool(units)


def _units() -> dict[str, str]:
    names = [f"{service}.service" for service in _SERVICES]
    done = run("systemctl", "list-unit-files", "--no-legend", "--no-pager", *names, check=False)
    rows = [line.split() for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
    return {row[0].removesuffix(".service"): row[1] for row in rows}
