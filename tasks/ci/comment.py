"""Write the review as a comment on a pull request, or renew the one that is there: `python -m tasks.ci.comment`.

Reads COMMENT, NUMBER, GITHUB_REPOSITORY, GITHUB_TOKEN and GITHUB_API_URL from the environment. Uses the standard
library alone: the job that may write installs nothing.
"""

import collections.abc
import json
import os
import re
import sys
import typing
import urllib.error
import urllib.request

_MARKER = re.compile(r"^<!-- gaxx review: [A-Za-z0-9._-]+ -->$", re.MULTILINE)
_LIMIT = 65_536
_TIMEOUT_S = 30.0
_PER_PAGE = 100
_PAGES_LIMIT = 50
_AUTHOR = "github-actions[bot]"


class CommentError(Exception):
    """GitHub said no; str() says why."""


def split(text: str) -> dict[str, str]:
    """One comment a stack, by its marker."""
    starts = [*_MARKER.finditer(text)]
    ends = [*(match.start() for match in starts[1:]), len(text)]
    return {match[0]: text[match.start() : end].strip()[:_LIMIT] for match, end in zip(starts, ends, strict=True)}


class PullRequest:
    """The comments of one pull request."""

    def __init__(self, api: str, repository: str, number: int, token: str) -> None:
        self._url = f"{api}/repos/{repository}"
        self._number = number
        self._token = token

    def renew(self, marker: str, body: str) -> str:
        """Renew our comment that starts with the marker, or write it; return which was done."""
        mine = next((comment for comment in self._comments() if self._is_mine(comment, marker)), None)
        if mine is None:
            self._call("POST", f"/issues/{self._number}/comments", {"body": body})
            return "written"
        if mine.get("body") == body:
            return "unchanged"
        self._call("PATCH", f"/issues/comments/{int(mine['id'])}", {"body": body})
        return "renewed"

    def _comments(self) -> collections.abc.Iterator[dict[str, typing.Any]]:
        for page in range(1, _PAGES_LIMIT + 1):
            found = self._call("GET", f"/issues/{self._number}/comments?per_page={_PER_PAGE}&page={page}")
            yield from found
            if len(found) < _PER_PAGE:
                return

    def _is_mine(self, comment: dict[str, typing.Any], marker: str) -> bool:
        # Anybody can write a comment that starts like ours.
        author = (comment.get("user") or {}).get("login")
        return author == _AUTHOR and str(comment.get("body", "")).startswith(marker)

    def _call(self, method: str, path: str, body: object = None) -> typing.Any:
        request = urllib.request.Request(  # noqa: S310 - the address is GitHub's own variable
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                "User-Agent": "gaxx",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            message = f"GitHub answered {error.code} to {method} {path.split('?', maxsplit=1)[0]}"
            raise CommentError(message) from error
        except (OSError, ValueError) as error:
            message = f"GitHub gave no answer to {method} {path.split('?', maxsplit=1)[0]}: {error}"
            raise CommentError(message) from error


def main() -> int:
    """Write every stack's comment; 1 when GitHub refuses one."""
    try:
        pull_request = PullRequest(
            os.environ.get("GITHUB_API_URL", "https://api.github.com"),
            os.environ["GITHUB_REPOSITORY"],
            int(os.environ["NUMBER"]),
            os.environ["GITHUB_TOKEN"],
        )
        for marker, body in split(os.environ["COMMENT"]).items():
            sys.stderr.write(f"gaxx: {marker[5:-4]}: {pull_request.renew(marker, body)}\n")
    except KeyError as error:
        sys.stderr.write(f"gaxx: {error.args[0]} is not set\n")
        return 1
    except CommentError as error:
        sys.stderr.write(f"gaxx: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
