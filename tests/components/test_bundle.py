"""The agent's bundle: the same bytes from the same sources, and a folder that runs on the node's own Python."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import zipfile

import pytest

from components import bundle
from components.errors import GaxxError

ROOT = pathlib.Path(__file__).parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"
UV_CACHE = os.environ.get("UV_CACHE_DIR") or str(pathlib.Path.home() / ".cache/uv")
INPUTS = ("agent", "components/bundle_unpack.py", "pyproject.toml", "uv.lock")


@pytest.fixture(autouse=True)
def shared_uv_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheels that this machine has already: only the bundles are built anew."""
    monkeypatch.setenv("UV_CACHE_DIR", UV_CACHE)


@pytest.fixture(scope="module")
def architecture() -> str:
    return os.uname().machine


@pytest.fixture(scope="module")
def version() -> str:
    shown = subprocess.run([SYSTEM_PYTHON, "-V"], capture_output=True, text=True, check=True).stdout
    return ".".join(shown.split()[1].split(".")[:2])


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The sources as they are now: somebody may be editing them while the tests run."""
    return copy_of_the_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, sources: pathlib.Path, version: str, architecture: str
) -> bundle.Bundle:
    return bundle.build(version, architecture, tmp_path_factory.mktemp("bundles"), root=sources)


def copy_of_the_sources(folder: pathlib.Path, root: pathlib.Path = ROOT) -> pathlib.Path:
    for name in INPUTS:
        source, target = root / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_two_builds_in_two_folders_at_two_times_have_the_same_bytes(
    tmp_path: pathlib.Path, sources: pathlib.Path, built: bundle.Bundle, version: str, architecture: str
) -> None:
    copy = copy_of_the_sources(tmp_path / "somewhere" / "else", sources)
    # What a checkout may hold beside the sources does not travel.
    (copy / "agent/__pycache__").mkdir()
    (copy / "agent/__pycache__/x.cpython-311.pyc").write_bytes(b"x")
    (copy / "agent/.swp").write_bytes(b"x")
    again = bundle.build(version, architecture, tmp_path / "cache", root=copy)
    assert again.sha256 == built.sha256
    assert again.path.read_bytes() == built.path.read_bytes()


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_builds_of_the_same_bundle_at_once_share_one_result_and_a_damaged_one_is_built_again(
    tmp_path: pathlib.Path, version: str, architecture: str
) -> None:
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        builds = [pool.submit(bundle.build, version, architecture, tmp_path) for _ in range(3)]
        results = {build.result() for build in builds}
    assert len(results) == 1
    built = results.pop()
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == [built.path]
    stamp = built.path.stat().st_mtime_ns
    assert bundle.build(version, architecture, tmp_path).path.stat().st_mtime_ns == stamp
    built.path.write_bytes(built.path.read_bytes()[:-1])
    assert bundle.build(version, architecture, tmp_path) == built
    assert len(zipfile.ZipFile(built.path).namelist()) > 100


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_the_unpacked_folder_runs_with_the_nodes_python_and_nothing_else(
    tmp_path: pathlib.Path, built: bundle.Bundle
) -> None:
    tree = tmp_path / "tree"
    subprocess.run([SYSTEM_PYTHON, "-I", built.path, "unpack", tree], check=True, timeout=120)
    program = "import sys, agent, grpc, cryptography; print(agent.__file__, grpc.__file__, cryptography.__file__)"
    found = subprocess.run(
        [SYSTEM_PYTHON, "-s", "-c", program],
        cwd="/",
        env={"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert all(path.startswith(f"{tree}/") for path in found.stdout.split())
    refused = subprocess.run(
        [SYSTEM_PYTHON, "-s", "-m", "agent"], cwd=tree, env={}, capture_output=True, text=True, check=False, timeout=60
    )
    assert refused.returncode == 1
    assert "GAXX_AGENT_TLS_CERT" in refused.stderr
    names = zipfile.ZipFile(built.path).namelist()
    assert not [name for name in names if re.search(r"(^|/)(tests?|__pycache__|bin)/|\.pyi$|\.proto$|RECORD$", name)]
    # What services need is compiled already: they run as users who could not write it.
    assert list((tree / "agent/__pycache__").glob("server.*.pyc"))


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_unpacking_over_something_changes_nothing(tmp_path: pathlib.Path, built: bundle.Bundle) -> None:
    (tmp_path / "here").mkdir()
    done = subprocess.run(
        [SYSTEM_PYTHON, "-I", built.path, "unpack", tmp_path / "here"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "exists" in done.stderr
    assert list((tmp_path / "here").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]


@pytest.mark.parametrize("fault", ["a source", "a dependency", "the unpacker"])
def test_the_digest_of_the_sources_follows_what_travels(tmp_path: pathlib.Path, fault: str) -> None:
    copy = copy_of_the_sources(tmp_path)
    before = bundle.source_digest(copy)
    assert before == bundle.source_digest(copy_of_the_sources(tmp_path / "again", copy))
    path = copy / {"a source": "agent/__init__.py", "a dependency": "uv.lock"}.get(fault, "components/bundle_unpack.py")
    text = path.read_text()
    path.write_text(
        re.sub(r'(name = "grpcio"\nversion = ")', r"\g<1>9", text) if fault == "a dependency" else text + "\n"
    )
    assert bundle.source_digest(copy) != before


def test_the_digest_of_the_sources_ignores_what_does_not_travel(tmp_path: pathlib.Path) -> None:
    copy = copy_of_the_sources(tmp_path)
    before = bundle.source_digest(copy)
    lock = copy / "uv.lock"
    lock.write_text(re.sub(r'(name = "pytest"\nversion = ")', r"\g<1>9", lock.read_text()))
    (copy / "agent/__pycache__").mkdir()
    (copy / "agent/__pycache__/x.cpython-311.pyc").touch()
    assert bundle.source_digest(copy) == before


@pytest.mark.parametrize(
    ("version", "architecture", "words"),
    [
        ("3.10", "x86_64", "3.11 and newer"),
        ("2.7", "x86_64", "3.11 and newer"),
        ("3", "x86_64", "3.11 and newer"),
        ("3.11", "riscv64", "x86_64 and aarch64"),
        ("3.11", "../..", "x86_64 and aarch64"),
    ],
)
def test_a_node_that_no_bundle_fits_is_one_clear_error(
    tmp_path: pathlib.Path, version: str, architecture: str, words: str
) -> None:
    with pytest.raises(GaxxError, match=words):
        bundle.build(version, architecture, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.engine
def test_a_dependency_that_is_not_what_was_locked_is_refused_and_leaves_nothing_half_made(
    tmp_path: pathlib.Path, architecture: str
) -> None:
    copy = copy_of_the_sources(tmp_path / "sources")
    lock = copy / "uv.lock"
    head, entry, tail = re.split(r'(?s)(name = "prometheus-client"\n.*?\n\n\[\[package)', lock.read_text(), maxsplit=1)
    lock.write_text(head + re.sub("sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, entry) + tail)
    with pytest.raises(GaxxError, match=r"the agent cannot be built: .*[Hh]ash mismatch for .*prometheus"):
        bundle.build("3.11", architecture, tmp_path / "cache", root=copy)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]
