"""What every call passes before a vendor's face answers it: token, rate limit, faults; and how refusals are worded."""

import dataclasses
import hmac
import json
import typing
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tasks.rehearsal.faults import Faults
from tasks.rehearsal.limits import Limit, Meter
from tasks.rehearsal.store import ApiError

Handler = Callable[[Request], Awaitable[Response]]
Words = Callable[[ApiError], Mapping[str, typing.Any]]


@dataclasses.dataclass(slots=True)
class Edge:
    """One vendor's."""

    token: str = dataclasses.field(repr=False)
    words: Words
    """The body of an error."""
    invalid_token: str
    too_many: str
    limit: Meter
    creates: Meter
    """Of instances."""
    faults: Faults
    clock: Callable[[], float]
    calls: "CallLog"

    def open(self, handler: Handler) -> Handler:
        """For calls that need no token."""

        async def answer(request: Request) -> Response:
            response = await self._answered(handler, request)
            self.calls.note(request, response.status_code)
            return response

        return answer

    def guard(self, handler: Handler, *, creates: bool = False) -> Handler:
        """For all others; `creates`: it makes an instance."""

        async def answer(request: Request) -> Response:
            response = self._refused(request, creates=creates)
            if response is None:
                # Something stands at the vendor, and the caller is never told its id.
                lost = request.method == "POST" and self.faults.strikes("create-500")
                response = await self._answered(handler, request)
                if lost and response.status_code < 400:  # noqa: PLR2004 - it was made
                    response = self._error(ApiError(500, "Internal Server Error"))
            self.calls.note(request, response.status_code)
            return response

        return answer

    def _refused(self, request: Request, *, creates: bool) -> Response | None:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            return self._error(ApiError(401, self.invalid_token))
        now = self.clock()
        meters = (self.limit, self.creates) if creates else (self.limit,)
        for meter in meters:
            wait_s = meter.wait_s(now)
            if wait_s:
                return self._too_many(wait_s, meter.limit)
        if self.faults.strikes("429"):
            return self._too_many(1, self.limit.limit)
        if self.faults.strikes("500"):
            return self._error(ApiError(500, "Internal Server Error"))
        return None

    def _too_many(self, wait_s: int, limit: Limit) -> Response:
        response = self._error(ApiError(429, self.too_many))
        response.headers.update(
            {
                "Retry-After": str(wait_s),
                "X-RateLimit-Limit": str(limit.calls),
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": str(int(self.clock()) + wait_s),
            }
        )
        return response

    async def _answered(self, handler: Handler, request: Request) -> Response:
        try:
            return await handler(request)
        except ApiError as error:
            return self._error(error)

    def _error(self, error: ApiError) -> Response:
        return JSONResponse(dict(self.words(error)), error.status)


class CallLog:
    """Which calls there were, without what was in them."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, request: Request, status: int) -> None:
        """Remember a call."""
        self.lines.append(f"{request.method} {request.url.path} {status}")


async def body(request: Request) -> dict[str, typing.Any]:
    """The JSON object of a request; raise ApiError."""
    raw = await request.body()
    if not raw:
        return {}
    try:
        value = json.loads(raw)
    except ValueError:
        raise ApiError(400, "Invalid JSON") from None
    if not isinstance(value, dict):
        raise ApiError(400, "Invalid JSON")
    return value
