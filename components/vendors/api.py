"""What is asked of a vendor, and calls with patience."""

import abc
import atexit
import dataclasses
import json
import random
import time
import typing
from collections.abc import Mapping

from components.errors import GaxxError
from components.vendors.found import Found, Kind

if typing.TYPE_CHECKING:
    import httpx

ATTEMPTS = 5
_PAUSE_S = 0.5
_PAUSE_LIMIT_S = 30.0
_CALL_LIMIT_S = 30.0
_TOO_MANY = 429
GONE = 404
_FAILED = 400


class VendorError(GaxxError):
    """A vendor's API said no; `status` is HTTP's, 0 when nothing answered."""

    def __init__(self, vendor: str, call: str, reason: str, *, status: int = 0) -> None:
        self.status = status
        super().__init__(f"{vendor}: {call}: {reason}")


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """What a token is good for."""

    account: str
    """As the vendor names it; empty where the token may not know."""
    scopes: tuple[str, ...]
    """As the vendor words them."""
    lacking: tuple[str, ...]
    """What fleets need and the token may not."""


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

    def networks(self) -> list[Found]:
        """All private networks of the account."""
        ...

    def keys(self) -> list[Found]:
        """All SSH keys of the account."""
        ...

    def all(self, kind: Kind) -> list[Found]:
        """All things of a kind."""
        ...

    def again(self, found: Found) -> Found | None:
        """The same thing as it is now; None when it is gone."""
        ...

    def delete(self, found: Found) -> None:
        """Delete it; what is gone already is fine."""
        ...

    def credentials(self) -> Credentials:
        """What the token is good for, by calls that change nothing; one attempt, and little patience."""
        ...

    def prices(self) -> "Prices":
        """$/hour of its machine types; needs no token."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Prices:
    """What a vendor's machines cost."""

    source: str
    """Where it says so."""
    types: Mapping[str, float]
    """Type to $/hour."""
    regions: Mapping[str, float]
    """Region to factor, where a region is dearer."""


class Api(abc.ABC):
    """Calls with patience: 429 and 5xx are tried again, with jitter, as long as Retry-After says."""

    name = ""

    def __init__(self, base: str, token: str) -> None:
        import httpx

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # One for all calls: each new one reads all certificates of this machine.
        self._client = httpx.Client(base_url=base, headers=headers, timeout=_CALL_LIMIT_S)
        # It lives as long as the process, which then hangs up properly.
        atexit.register(self._client.close)

    def call(
        self, method: str, path: str, *, params: Mapping[str, str | int] | None = None, where: object = None
    ) -> dict[str, typing.Any]:
        """Return the JSON answer; raise VendorError with the vendor's own words."""
        return self._body(self._answer(method, path, params=params, where=where), f"{method} {path}")

    def ask_once(self, path: str, *, limit_s: float = 10.0) -> "tuple[dict[str, typing.Any], Mapping[str, str]]":
        """GET without patience; return the JSON answer and its headers. Raise VendorError."""
        import httpx

        try:
            response = self._client.get(path, timeout=limit_s)
        except httpx.HTTPError as error:
            raise VendorError(self.name, f"GET {path}", str(error) or type(error).__name__) from error
        if response.status_code >= _FAILED:
            raise VendorError(self.name, f"GET {path}", _reason(response), status=response.status_code)
        return self._body(response, f"GET {path}"), response.headers

    def found(self, path: str) -> bool:
        """Whether GET finds something."""
        return self.get(path) is not None

    def get(self, path: str) -> dict[str, typing.Any] | None:
        """GET; None where there is nothing."""
        try:
            return self.call("GET", path)
        except VendorError as error:
            if error.status != GONE:
                raise
            return None

    def remove(self, path: str) -> None:
        """DELETE; what is gone already is fine."""
        try:
            self.call("DELETE", path)
        except VendorError as error:
            if error.status != GONE:
                raise

    @abc.abstractmethod
    def machines(self, label: str = "") -> list[Found]:
        """All machines of the account, or those whose label begins with `label`."""

    def firewalls(self) -> list[Found]:
        """All firewalls of the account."""
        return self.all("firewall")

    def networks(self) -> list[Found]:
        """All private networks of the account."""
        return self.all("network")

    def keys(self) -> list[Found]:
        """All SSH keys of the account."""
        return self.all("key")

    @abc.abstractmethod
    def all(self, kind: Kind) -> list[Found]:
        """All things of a kind."""

    def _answer(
        self, method: str, path: str, *, params: Mapping[str, str | int] | None, where: object
    ) -> "httpx.Response":
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
                return response
            again = response.status_code == _TOO_MANY or response.is_server_error
            if not again or attempt == ATTEMPTS:
                raise VendorError(self.name, f"{method} {path}", _reason(response), status=response.status_code)
            _wait(attempt, response.headers.get("Retry-After", ""))
        raise AssertionError  # the last attempt returns or raises

    def _body(self, response: "httpx.Response", call: str) -> dict[str, typing.Any]:
        if not response.content:
            return {}
        try:
            answer = response.json()
        except ValueError as error:
            raise VendorError(self.name, call, "the answer is no JSON", status=response.status_code) from error
        if not isinstance(answer, dict):
            raise VendorError(self.name, call, "the answer is no JSON object", status=response.status_code)
        return answer


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
