"""REST calls as the vendors' own clients make them: what they try again, and what they do not."""

import itertools
import time
import typing
from collections.abc import Callable, Mapping

import httpx

from tests.clouds.standin.plugin import PluginError

Answer = dict[str, typing.Any]


class CallError(PluginError):
    """The API said no."""

    def __init__(self, method: str, path: str, response: httpx.Response) -> None:
        self.status = response.status_code
        self.text = response.text
        super().__init__(f"{method} {path}: [{response.status_code}] {response.text[:500]}")


class Rest:
    """One vendor's API."""

    def __init__(self, base: str, token: str, *, again: Callable[[httpx.Response], bool], attempts: int) -> None:
        # Without a token the vendors' plugins preview, and ask what everybody may know.
        own = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=base, headers=own, timeout=60)
        self._again = again
        self._attempts = attempts

    def __call__(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Return the answer's JSON; raise CallError."""
        for attempt in itertools.count(1):
            try:
                response = self._client.request(method, path, json=body, headers=headers)
            except httpx.HTTPError as error:
                message = f"{method} {path}: {error}"
                raise PluginError(message) from error
            if response.is_success:
                return dict(response.json()) if response.content else {}
            if attempt == self._attempts or not self._again(response):
                raise CallError(method, path, response)
            time.sleep(float(response.headers.get("Retry-After", "0.2")))
        raise AssertionError  # count() does not end
