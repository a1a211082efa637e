"""Continuous integration: the workflows hold back what they must, and the programs that they call do what they say."""

import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import typing
from collections.abc import Iterator

import pytest
import yaml

from components.errors import GaxxError
from tasks import identity
from tasks.ci import comment, jump_host, operator, review, written
from tests.review.cases import DEMO
from tests.review.repository import TestRepository, replaced

TEMPLATES = sorted(written.TEMPLATES.glob("*.yml"))
PROGRAMS = re.compile(
    r"sudo apt-get (update|install) [a-z0-9 -]+"
    r"|make setup"
    r"|(python3|\.venv/bin/python) -m tasks\.ci\.(review|comment|operator|jump_host)( [\w$\"/.-]+)*"
    r"|\.venv/bin/gaxx (up|preview|reap)( [\w$\"/.-]+)*"
)


def workflow(path: pathlib.Path) -> dict[typing.Any, typing.Any]:
    parsed = yaml.safe_load(written.rendered(path, "render"))
    assert isinstance(parsed, dict)
    return parsed


def steps(path: pathlib.Path) -> Iterator[tuple[str, dict[str, typing.Any]]]:
    for name, job in workflow(path)["jobs"].items():
        for step in job["steps"]:
            yield name, step


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_actions_are_pinned_and_steps_only_call_programs_that_are_tested(path: pathlib.Path) -> None:
    for _, step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"])
        else:
            # No expression in a line for a shell: a branch's name would be a command.
            assert PROGRAMS.fullmatch(step["run"].strip()), step["run"]
    for line in path.read_text().splitlines():
        if "uses:" in line:
            assert re.search(r"# v[0-9]+\.[0-9]+\.[0-9]+$", line), "the version is said beside the digest"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_nothing_is_permitted_that_is_not_named(path: pathlib.Path) -> None:
    parsed = workflow(path)

    assert parsed["permissions"] == {}
    for job in parsed["jobs"].values():
        assert job["permissions"]["contents"] == "read"
        assert set(job["permissions"]) <= {"contents", "pull-requests"}
        assert job["timeout-minutes"] <= 60
    for _, step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_what_runs_code_of_a_branch_has_no_secret_and_may_write_nothing() -> None:
    (path,) = [path for path in TEMPLATES if path.stem == "gaxx-review"]
    jobs = workflow(path)["jobs"]

    assert "secrets." not in path.read_text()
    assert jobs["preview"]["permissions"] == {"contents": "read"}
    assert not any("env" in step for step in jobs["preview"]["steps"])
    assert jobs["preview"]["if"].startswith("github.event_name == 'pull_request' && ")
    # Of a fork nothing is run where something may be written.
    (static,) = [step["run"] for name, step in steps(path) if name == "static" and "tasks.ci.review" in str(step)]
    assert static.endswith(" --static")
    assert all(step.get("with", {}).get("ref") != "HEAD" for step in jobs["comment"]["steps"])


def test_only_the_protected_job_has_the_token_that_makes_machines() -> None:
    (path,) = [path for path in TEMPLATES if path.stem == "gaxx-apply-STACK"]
    jobs = workflow(path)["jobs"]

    assert jobs["apply"]["environment"] == "gaxx-apply"
    assert jobs["apply"]["needs"] == "plan"
    assert "secrets.LINODE_TOKEN" not in json.dumps(jobs["plan"])
    assert "secrets.LINODE_TOKEN" in json.dumps(jobs["apply"])
    assert workflow(path)["concurrency"] == {"group": "gaxx-apply-render", "cancel-in-progress": False}


def test_the_hourly_reap_holds_up_no_update_and_alone_may_delete() -> None:
    (path,) = [path for path in TEMPLATES if path.stem == "gaxx-drift-STACK"]
    found = workflow(path)
    jobs = found["jobs"]
    # YAML reads the key `on` as a boolean.
    crons = [entry["cron"] for entry in found[True]["schedule"]]

    assert f"github.event.schedule == '{crons[0]}'" in jobs["drift"]["if"], "drift is a morning's, not an hour's"
    assert "if" not in jobs["reap"]
    assert crons[1].split()[1] == "*"
    assert "concurrency" not in found, "a reap that waits with an update's runs would be replaced, or replace one"
    assert jobs["drift"]["concurrency"]["group"] == "gaxx-apply-render"
    assert jobs["reap"]["concurrency"] == {"group": "gaxx-reap", "cancel-in-progress": False}
    assert (jobs["drift"]["environment"], jobs["reap"]["environment"]) == ("gaxx-plan", "gaxx-reap")
    assert "secrets.LINODE_TOKEN" not in json.dumps(jobs["drift"])
    assert jobs["reap"]["steps"][-1]["run"] == ".venv/bin/gaxx reap --yes"
    assert {"LINODE_TOKEN", "VULTR_API_KEY"} <= set(jobs["reap"]["steps"][-1]["env"])


def test_the_jobs_that_reach_nodes_and_no_others_have_the_jump_hosts_key() -> None:
    having, calling = set(), {}
    for path in TEMPLATES:
        for name, step in steps(path):
            if "secrets.GAXX_JUMP_HOST_KEY" in json.dumps(step):
                having.add(name)
                assert step["run"] == ".venv/bin/python -m tasks.ci.jump_host"
            if re.match(r"\.venv/bin/gaxx (up|reap)", step.get("run", "")):
                calling[name] = name in having

    assert calling == {"apply": True, "reap": True}, "before what it is for"
    assert having == set(calling)


def test_workflows_are_written_once_for_each_stack(tmp_path: pathlib.Path) -> None:
    first = written.write(tmp_path, "render")
    edited = first[0]
    edited.write_text("mine\n")
    second = written.write(tmp_path, "paint")

    assert {path.name for path in first} == {"gaxx-review.yml", "gaxx-apply-render.yml", "gaxx-drift-render.yml"}
    assert {path.name for path in second} == {"gaxx-apply-paint.yml", "gaxx-drift-paint.yml"}
    assert edited.read_text() == "mine\n"
    assert "STACK: paint" in (tmp_path / ".github/workflows/gaxx-apply-paint.yml").read_text()


@pytest.mark.engine
@pytest.mark.timeout(300)
@pytest.mark.parametrize("options", [(), ("--static",)])
def test_a_pull_request_is_reviewed_against_what_it_was_merged_into(
    repository: TestRepository, tmp_path: pathlib.Path, options: tuple[str, ...]
) -> None:
    branch = f"pull{len(options)}"
    repository.branch(branch, {DEMO: replaced("nodes: 2", "nodes: 3")})
    merged = tmp_path / "merged"
    repository.git("clone", "--quiet", "--no-local", str(repository.folder), str(merged))
    repository.git("-C", str(merged), "merge", "--quiet", "--no-ff", "--message", "merged", f"origin/{branch}")
    outputs, summary = tmp_path / "outputs", tmp_path / "summary"

    done = subprocess.run(
        (sys.executable, "-m", "tasks.ci.review", str(merged), *options),
        cwd=repository.folder,
        env={**repository.environment, "GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(summary)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "create `demo-3`" in summary.read_text()
    name, word, body = re.fullmatch(r"(\w+)<<(\w+)\n(.*)\n\2\n", outputs.read_text(), re.DOTALL).groups()  # type: ignore[union-attr]
    assert (name, body) == ("comment", summary.read_text())
    assert len(word) == 32


@pytest.mark.engine
def test_a_refused_pull_request_fails_the_job_and_still_has_its_comment(
    repository: TestRepository, tmp_path: pathlib.Path
) -> None:
    merged = tmp_path / "merged"
    repository.branch("pull-refused", {DEMO: replaced("nodes: 2", "nodes: 13")})
    repository.git("clone", "--quiet", "--no-local", str(repository.folder), str(merged))
    repository.git("-C", str(merged), "merge", "--quiet", "--no-ff", "--message", "merged", "origin/pull-refused")
    outputs = tmp_path / "outputs"

    done = subprocess.run(
        (sys.executable, "-m", "tasks.ci.review", str(merged), "--static"),
        cwd=repository.folder,
        env={**repository.environment, "GITHUB_OUTPUT": str(outputs)},
        capture_output=True,
        check=False,
    )

    assert done.returncode == 2
    assert "**refused** by `node-budget`" in outputs.read_text()


class GitHub(http.server.BaseHTTPRequestHandler):
    """The part of its API that comments need."""

    comments: typing.ClassVar[list[dict[str, typing.Any]]]

    def do_GET(self) -> None:
        page = int(self.path.rsplit("page=", 1)[1])
        self._answer(200, self.comments[(page - 1) * 100 : page * 100])

    def do_POST(self) -> None:
        assert self.path == "/repos/ada/fleet/issues/7/comments"
        body = {"id": 1000 + len(self.comments), "user": {"login": "github-actions[bot]"}, **self._body()}
        self.comments.append(body)
        self._answer(201, body)

    def do_PATCH(self) -> None:
        (found,) = [entry for entry in self.comments if self.path.endswith(f"/issues/comments/{entry['id']}")]
        found.update(self._body())
        self._answer(200, found)

    def log_message(self, *_: object) -> None:
        """Nothing: a log is no part of a test's output."""

    def _body(self) -> dict[str, typing.Any]:
        read: dict[str, typing.Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return read

    def _answer(self, code: int, value: object) -> None:
        if self.headers["Authorization"] != "Bearer made-up":
            code, value = 401, {}
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, typing.Any]]]:
    """Comments of a pull request; a stranger's first one starts like ours, and there are more than a page."""
    GitHub.comments = [{"id": 0, "user": {"login": "eve"}, "body": "<!-- gaxx review: demo -->\nall is well"}]
    GitHub.comments += [{"id": number, "user": {"login": "bob"}, "body": "hm"} for number in range(1, 130)]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), GitHub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("GITHUB_REPOSITORY", "ada/fleet")
        monkeypatch.setenv("GITHUB_TOKEN", "made-up")
        monkeypatch.setenv("NUMBER", "7")
        yield GitHub.comments
        server.shutdown()
        thread.join()


def test_each_stack_has_one_comment_that_is_renewed_in_place(
    github: list[dict[str, typing.Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    both = "<!-- gaxx review: demo -->\nfirst\n<!-- gaxx review: render -->\nother\n"
    for text in (both, both.replace("first", "second"), both.replace("first", "second")):
        monkeypatch.setenv("COMMENT", text)
        assert comment.main() == 0

    ours = [entry["body"] for entry in github if entry["user"]["login"] == "github-actions[bot]"]
    assert ours == ["<!-- gaxx review: demo -->\nsecond", "<!-- gaxx review: render -->\nother"]
    assert github[0]["body"].endswith("all is well"), "what somebody else wrote is not ours to change"
    assert [line.split(": ")[-1] for line in capsys.readouterr().err.splitlines()] == [
        *("written", "written", "renewed", "unchanged", "unchanged", "unchanged")
    ]


@pytest.mark.usefixtures("github")
def test_a_refused_token_is_one_line_without_the_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "wrong-one")
    monkeypatch.setenv("COMMENT", "<!-- gaxx review: demo -->\nfirst\n")

    assert comment.main() == 1
    assert capsys.readouterr().err == "gaxx: GitHub answered 401 to GET /issues/7/comments\n"


def test_the_marker_of_a_comment_is_the_one_that_reviews_write() -> None:
    from tasks.review.comment import marker

    assert list(comment.split(f"{marker('demo')}\ntext")) == [marker("demo")]


def test_comments_of_many_stacks_fit_into_one_variable() -> None:
    each = [f"<!-- gaxx review: s{number} -->\n{'ü' * 30_000}\n" for number in range(9)]

    short = review.bounded("".join(each))
    assert len(short.encode()) <= 120_000
    assert list(comment.split(short)) == [f"<!-- gaxx review: s{number} -->" for number in range(9)]
    assert short.startswith(each[0])
    assert short.count("see the summary") == 8
    assert review.bounded(each[0]) == each[0]


def test_an_operators_folder_travels_as_one_secret(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ci"
    folder.mkdir(mode=0o700)
    identity.make(folder, "ci")
    assert operator.main(["--pack", str(folder)]) == 0
    packed = capsys.readouterr().out
    monkeypatch.setenv("GAXX_OPERATOR", packed)
    monkeypatch.setenv("GAXX_OPERATOR_DIR", str(tmp_path / "job" / "operator"))

    assert operator.main([]) == 0
    assert identity.load().name == "ci"
    for file in (tmp_path / "job" / "operator").iterdir():
        assert file.stat().st_mode & 0o077 == 0
        assert file.read_bytes() == (folder / file.name).read_bytes()
    assert operator.main([]) == 1, "a second time would hide which key is used"


def test_a_wrong_secret_is_refused_without_being_quoted(tmp_path: pathlib.Path) -> None:
    with pytest.raises(GaxxError) as raised:
        operator.unpack('{"ssh_ed25519": "PRIVATE"}', tmp_path / "operator")

    assert "PRIVATE" not in str(raised.value)
    assert not os.listdir(tmp_path)  # noqa: PTH208 - nothing at all


@pytest.fixture
def ssh_keygen(tmp_path: pathlib.Path) -> typing.Callable[[str], pathlib.Path]:
    """Makes a private key with this passphrase."""

    def make(passphrase: str) -> pathlib.Path:
        path = tmp_path / f"key{len(passphrase)}"
        line = ["ssh-keygen", "-q", "-t", "ed25519", "-C", "", "-N", passphrase, "-f", str(path)]
        subprocess.run(line, check=True, stdin=subprocess.DEVNULL)
        return path

    return make


def test_the_key_for_a_jump_host_is_known_to_the_later_steps_of_a_job(
    ssh_keygen: typing.Callable[[str], pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, variables = ssh_keygen(""), tmp_path / "env"
    monkeypatch.setenv("GITHUB_ENV", str(variables))
    monkeypatch.setattr(jump_host, "know", lambda text, _path: monkeypatch.setenv("KNOWN", text))
    monkeypatch.setenv(jump_host.KEY, key.read_text())
    monkeypatch.setenv(jump_host.KNOWN_HOSTS, "bastion ssh-ed25519 AAAA")

    assert jump_host.main() == 0

    found = dict(line.split("=", 1) for line in variables.read_text().splitlines())
    asked = subprocess.run(["ssh-add", "-L"], env={**os.environ, **found}, capture_output=True, text=True, check=False)
    subprocess.run(["ssh-agent", "-k"], env={**os.environ, **found}, check=True, capture_output=True)
    assert asked.stdout.split()[:2] == key.with_suffix(".pub").read_text().split()[:2]
    assert os.environ["KNOWN"] == "bastion ssh-ed25519 AAAA"


@pytest.mark.parametrize("kind", ["encrypted", "no key"])
def test_a_key_that_nobody_can_use_is_refused_without_being_quoted_and_leaves_no_agent(
    kind: str, ssh_keygen: typing.Callable[[str], pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "agents"))
    (tmp_path / "agents").mkdir()
    text = ssh_keygen("passphrase").read_text() if kind == "encrypted" else "PRIVATE"

    with pytest.raises(GaxxError) as raised:
        jump_host.load(text)

    assert "GAXX_JUMP_HOST_KEY is no private key that OpenSSH can read without a passphrase" in str(raised.value)
    assert "PRIVATE" not in str(raised.value)
    assert not list((tmp_path / "agents").rglob("agent.*"))


def test_known_hosts_are_added_once_and_others_stay(
    ssh_keygen: typing.Callable[[str], pathlib.Path], tmp_path: pathlib.Path
) -> None:
    known = tmp_path / "home" / "known_hosts"
    known.parent.mkdir()
    known.write_text("mine ssh-ed25519 AAAA")
    line = f"[bastion.example.org]:2222 {ssh_keygen('').with_suffix('.pub').read_text().strip()}"

    for _ in range(2):
        jump_host.know(f"# bastion.example.org:2222 SSH-2.0\n{line}\n\n", known)

    assert known.read_text() == f"mine ssh-ed25519 AAAA\n{line}\n"
    with pytest.raises(GaxxError, match="GAXX_JUMP_HOST_KNOWN_HOSTS: 'bastion' is no line of a known_hosts file"):
        jump_host.know(f"{line}\nbastion\n", tmp_path / "none" / "known_hosts")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", [jump_host.KEY, jump_host.KNOWN_HOSTS])
def test_half_of_what_a_jump_host_takes_is_refused_and_nothing_of_it_is_nothing_to_do(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in (jump_host.KEY, jump_host.KNOWN_HOSTS):
        monkeypatch.setenv(one, "")
    assert jump_host.main() == 0
    monkeypatch.setenv(name, "made-up")

    assert jump_host.main() == 1

    (other,) = {jump_host.KEY, jump_host.KNOWN_HOSTS} - {name}
    assert capsys.readouterr().err == f"gaxx: {other} is not set, and {name} is; docs/ci.md says where both come from\n"
