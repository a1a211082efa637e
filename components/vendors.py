"""The two vendors' APIs, as far as we speak to them ourselves: find what carries our tags, and delete it.

Everything else is their own Pulumi plugins' work. Blocking: call it in a thread.
"""

import dataclasses
import datetime as dt
import functools
import json
import os
import random
import time
import typing
from collections.abc import Iterator, Mapping

from components import naming
from components.errors import GaxxError
from components.rehearsal import VULTR_URL, checked_url

if typing.TYPE_CHECKING:
    import httpx

Kind = typing.Literal["machine", "firewall"]

ATTEMPTS = 5
_PAUSE_S = 0.5
_PAUSE_LIMIT_S = 30.0
_CALL_LIMIT_S = 30.0
_TOO_MANY = 429
_GONE = 404
_FAILED = 400
_PAGE = 500


class VendorError(GaxxError):
    """A vendor's API said no; `status` is HTTP's, 0 when nothing answered."""

    def __init__(self, vendor: str, call: str, reason: str, *, status: int = 0) -> None:
        self.status = status
        super().__init__(f"{vendor}: {call}: {reason}")


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """Something at a vendor that carries tags."""

    kind: Kind
    id: str
    label: str
    tags: tuple[str, ...]
    created: str
    """RFC 3339, UTC."""
    running: bool = True
    """Whether it is powered on and made; a firewall always is."""

    def of(self, *, project: str, backend_id: str, stack: str) -> bool:
        """Whether it carries the marks of this stack; all of them must fit, or it is somebody else's."""
        wanted = (("project", project), ("backend", backend_id), ("stack", stack))
        return {f"{naming.TAG_PREFIX}{key}={naming.tag_value(key, value)}" for key, value in wanted} <= set(self.tags)


class Vendor(typing.Protocol):
    """What is asked of a vendor."""

    name: str

    def machines(self, label: str = "") -> list[Found]:
        """All machines of the account, or those whose label begins with `label`."""
        ...

    def exists(self, machine_id: str) -> bool:
        """Whether the machine is still there."""
        ...

    def firewalls(self) -> list[Found]:
        """All firewalls of the account."""
        ...

    def delete(self, found: Found) -> None:
        """Delete it; what is gone already is fine."""
        ...


def vendor(name: str) -> Vendor | None:
    """The API of a vendor; None where its token is not in the environment."""
    variable = {"linode": "LINODE_TOKEN", "vultr": "VULTR_API_KEY"}[name]
    token = os.environ.get(variable, "")
    if not token:
        return None
    if name == "linode":
        version = os.environ.get("LINODE_API_VERSION") or "v4"
        return _linode_api(f"{checked_url('LINODE_URL', 'https://api.linode.com')}/{version}/", token)
    return _vultr_api(f"{checked_url(VULTR_URL, 'https://api.vultr.com')}/v2/", token)


class _Api:
    """Calls with patience: 429 and 5xx are tried again, with jitter, as long as Retry-After says."""

    name = ""

    def __init__(self, base: str, token: str) -> None:
        import httpx

        # One for all calls: each new one reads all certificates of this machine.
        self._client = httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=_CALL_LIMIT_S)

    def call(
        self, method: str, path: str, *, params: Mapping[str, str | int] | None = None, where: object = None
    ) -> dict[str, typing.Any]:
        """Return the JSON answer; raise VendorError with the vendor's own words."""
        import httpx

        headers = {"X-Filter": json.dumps(where)} if where else {}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = self._client.request(method, path, params=params, headers=headers)
            except httpx.HTTPError as error:
                if attempt == ATTEMPTS:
                    raise VendorError(self.name, f"{method} {path}", str(error) or type(error).__name__) from error
                _wait(attempt, "")
                continue
            if response.status_code < _FAILED:
                answer: dict[str, typing.Any] = response.json() if response.content else {}
                return answer
            again = response.status_code == _TOO_MANY or response.is_server_error
            if not again or attempt == ATTEMPTS:
                raise VendorError(self.name, f"{method} {path}", _reason(response), status=response.status_code)
            _wait(attempt, response.headers.get("Retry-After", ""))
        raise AssertionError  # the last attempt returns or raises

    def found(self, path: str) -> bool:
        """Whether GET finds something."""
        try:
            self.call("GET", path)
        except VendorError as error:
            if error.status != _GONE:
                raise
            return False
        return True

    def remove(self, path: str) -> None:
        """DELETE; what is gone already is fine."""
        try:
            self.call("DELETE", path)
        except VendorError as error:
            if error.status != _GONE:
                raise


class LinodeApi(_Api):
    """API version 4."""

    name = "linode"

    def machines(self, label: str = "") -> list[Found]:
        """All instances, or those whose label begins with `label`."""
        where = {"label": {"+contains": label}} if label else None
        found = [_linode("machine", entry) for entry in self._all("linode/instances", where)]
        return [one for one in found if one.label.startswith(label)]

    def exists(self, machine_id: str) -> bool:
        """Ask for it by its id."""
        return self.found(f"linode/instances/{machine_id}")

    def firewalls(self) -> list[Found]:
        """All firewalls."""
        return [_linode("firewall", entry) for entry in self._all("networking/firewalls")]

    def delete(self, found: Found) -> None:
        """Delete it."""
        folder = "linode/instances" if found.kind == "machine" else "networking/firewalls"
        self.remove(f"{folder}/{found.id}")

    def _all(self, path: str, where: object = None) -> Iterator[dict[str, typing.Any]]:
        page, pages = 1, 1
        while page <= pages:
            answer = self.call("GET", path, params={"page": page, "page_size": _PAGE}, where=where)
            yield from answer["data"]
            page, pages = page + 1, int(answer["pages"])


class VultrApi(_Api):
    """API version 2."""

    name = "vultr"

    def machines(self, label: str = "") -> list[Found]:
        """All instances, or those with this label."""
        more = {"label": label} if label else {}
        return [
            Found(
                "machine",
                entry["id"],
                entry["label"],
                tuple(entry["tags"] or ()),
                _utc(entry["date_created"]),
                running=entry["status"] == "active" and entry["power_status"] == "running",
            )
            for entry in self._all("instances", "instances", more)
        ]

    def exists(self, machine_id: str) -> bool:
        """Ask for it by its id."""
        return self.found(f"instances/{machine_id}")

    def firewalls(self) -> list[Found]:
        """All firewall groups; their description is where the tags are."""
        return [
            Found("firewall", entry["id"], entry["description"], _words(entry), _utc(entry["date_created"]))
            for entry in self._all("firewalls", "firewall_groups", {})
        ]

    def rules(self, group: str) -> list[str]:
        """Numbers of a firewall group's rules; none of a group that is gone."""
        try:
            return [str(entry["id"]) for entry in self._all(f"firewalls/{group}/rules", "firewall_rules", {})]
        except VendorError as error:
            if error.status != _GONE:
                raise
            return []

    def delete_rule(self, group: str, number: str) -> None:
        """Delete a rule."""
        self.remove(f"firewalls/{group}/rules/{number}")

    def delete(self, found: Found) -> None:
        """Delete it."""
        self.remove(f"{'instances' if found.kind == 'machine' else 'firewalls'}/{found.id}")

    def _all(self, path: str, key: str, more: Mapping[str, str]) -> Iterator[dict[str, typing.Any]]:
        cursor = ""
        while True:
            answer = self.call("GET", path, params={"per_page": _PAGE, "cursor": cursor, **more})
            yield from answer[key]
            cursor = answer["meta"]["links"]["next"]
            if not cursor:
                return


@functools.cache
def _linode_api(base: str, token: str) -> LinodeApi:
    return LinodeApi(base, token)


@functools.cache
def _vultr_api(base: str, token: str) -> VultrApi:
    return VultrApi(base, token)


def _linode(kind: Kind, entry: Mapping[str, typing.Any]) -> Found:
    return Found(
        kind,
        str(entry["id"]),
        entry["label"],
        tuple(entry["tags"]),
        _utc(entry["created"]),
        running=entry["status"] == "running" or kind == "firewall",
    )


def _words(entry: Mapping[str, typing.Any]) -> tuple[str, ...]:
    return tuple(word for word in entry["description"].split() if word.startswith(naming.TAG_PREFIX))


def _utc(text: str) -> str:
    moment = dt.datetime.fromisoformat(text)
    # Linode writes its times without a zone, and means UTC.
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).astimezone(dt.UTC).isoformat(timespec="seconds")


def _reason(response: "httpx.Response") -> str:
    try:
        body = response.json()
        said = "; ".join(error["reason"] for error in body["errors"]) if "errors" in body else str(body["error"])
    except (ValueError, KeyError, TypeError):
        said = ""
    return said or f"HTTP {response.status_code}"


def _wait(attempt: int, retry_after: str) -> None:
    pause_s = float(retry_after) if retry_after.isdigit() else _PAUSE_S * 2**attempt
    time.sleep(min(_PAUSE_LIMIT_S, pause_s) * random.uniform(0.5, 1.0))  # noqa: S311 - spreads calls, no secret
