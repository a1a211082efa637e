"""What holds for every test: nothing of the person who runs them gets in, and nothing of the tests gets out."""

import os
import pathlib
import shutil
import signal
import tempfile
from collections.abc import Iterator

import hypothesis
import pytest

# A busy machine is no fault of the code: time is measured in bench/, not in tests.
hypothesis.settings.register_profile("gaxx", deadline=None)
hypothesis.settings.load_profile("gaxx")

# A shell's background job ignores Ctrl-C, and so would every program that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

GUARDED_PREFIXES = (
    "ANSIBLE_",
    "AWS_",
    "AZURE_",
    "FABRIC_",
    "GAXX_",
    "GOOGLE_",
    "INVOKE_",
    "LINODE_",
    "PULUMI_",
    "VULTR_",
)
"""Environment variables that would make a test depend on, or act for, whoever runs it."""

GUARDED = ("SSH_AUTH_SOCK", "SSH_AGENT_PID", "SSH_ASKPASS", "GIT_DIR", "GIT_WORK_TREE", "COLUMNS", "NO_COLOR")


def _clear(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(GUARDED_PREFIXES) or name in GUARDED:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def no_credentials() -> Iterator[None]:
    """The same for fixtures that live longer than one test; those keep the person's caches, for what is downloaded."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _clear(monkeypatch)
        yield


@pytest.fixture
def state_dir() -> Iterator[pathlib.Path]:
    """Where local machines of a test live: open to the account that root's run as, which pytest's folders are not."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gaxx-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def own_home(
    state_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
    """A home of its own for every test: no credentials, no ssh configuration or agent, no Pulumi login."""
    _clear(monkeypatch)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for variable, folder in (
        ("XDG_CACHE_HOME", ".cache"),
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_STATE_HOME", ".local/state"),
        ("XDG_DATA_HOME", ".local/share"),
    ):
        monkeypatch.setenv(variable, str(home / folder))
    # An empty runtime folder: nobody's ssh or gpg agent, and sockets of ours do not meet those of another test.
    runtime = tmp_path_factory.mktemp("run")
    runtime.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    # Root's local nodes would live in /var/lib/gaxx, which belongs to whoever runs the tests.
    monkeypatch.setenv("GAXX_STATE_DIR", str(state_dir))
    monkeypatch.setenv("PULUMI_HOME", str(home / ".pulumi"))
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "1")
    return home
