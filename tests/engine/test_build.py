"""The engine from source, up to where a real compilation would take minutes."""

import importlib.metadata
import pathlib
import shutil
import subprocess

import pytest

from tools.engine import build
from tools.engine.errors import EngineError

GO = """#!/bin/sh
# Stands where Go does: answers what it is asked, "compiles" a pulumi that says its version.
case "$1 $2" in
"env GOVERSION") echo go1.99.0;;
"env "*) echo;;
"list -deps") echo "go: downloading a" >&2; printf 'a\\nb\\nc\\n';;
"list -m") echo "$SDK";;
"build -v")
    printf 'a\\nb\\n' >&2
    test -z "$FAIL" || { echo "a/x.go:1:1: $FAIL" >&2; exit 1; }
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\necho v%s\\n' "$VERSION" > "$2"; chmod +x "$2";;
esac
"""


@pytest.fixture
def go(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "go" / "bin"
    folder.mkdir(parents=True)
    (folder / "go").write_text(GO)
    (folder / "go").chmod(0o755)
    sdk = tmp_path / "sdk"
    for name in build.SCRIPTS:
        (sdk / name).parent.mkdir(parents=True)
        (sdk / name).write_text("#!/bin/sh\n")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("SDK", str(sdk))
    monkeypatch.setenv("VERSION", build.pinned_version())
    monkeypatch.setenv("FAIL", "")


@pytest.mark.usefixtures("go")
def test_a_build_ends_up_whole_in_the_cache_and_gives_its_space_back(tmp_path: pathlib.Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    made = build.make(cache, None)
    assert (made.source, made.version) == ("build", build.pinned_version())
    assert sorted(path.name for path in made.binary.parent.iterdir()) == [
        "pulumi",
        "pulumi-language-python-exec",
        "pulumi-resource-pulumi-python",
    ]
    assert list(cache.iterdir()) == [build.folder(cache)]
    assert build.cached(cache) == made


@pytest.mark.usefixtures("go")
def test_a_build_that_fails_says_the_compilers_last_words_and_publishes_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "undefined: y")
    with pytest.raises(EngineError, match=r"^go build failed: a/x\.go:1:1: undefined: y$"):
        build.make(tmp_path, None)
    assert build.cached(tmp_path) is None


@pytest.mark.usefixtures("go")
def test_a_build_after_a_failed_one_works(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "undefined: y")
    with pytest.raises(EngineError):
        build.make(tmp_path, None)
    monkeypatch.setenv("FAIL", "")
    assert build.make(tmp_path, None).binary.exists()


@pytest.mark.usefixtures("go")
def test_a_build_replaces_one_that_no_longer_runs(tmp_path: pathlib.Path) -> None:
    (build.folder(tmp_path)).mkdir()
    (build.folder(tmp_path) / "pulumi").write_text("truncated")
    assert build.make(tmp_path, None) == build.cached(tmp_path)


@pytest.mark.usefixtures("go")
def test_a_full_disk_is_noticed_before_the_build_and_not_in_its_midst(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "SPACE_BYTES", shutil.disk_usage(tmp_path).total * 2)
    with pytest.raises(EngineError, match="GiB free, and a build takes"):
        build.make(tmp_path, None)


def test_other_sources_get_another_place_in_the_cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build.folder(tmp_path)
    sources = tmp_path / "sources"
    shutil.copytree(build.SOURCES, sources)
    monkeypatch.setattr(build, "SOURCES", sources)
    assert build.folder(tmp_path) == before
    (sources / "go.sum").write_text((sources / "go.sum").read_text() + "\n")
    assert build.folder(tmp_path) != before


def test_the_engine_and_the_sdk_are_of_one_version() -> None:
    assert build.pinned_version() == importlib.metadata.version("pulumi")


def test_go_finds_the_pinned_modules_consistent() -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go on this machine: set-up takes the packaged one")
    # Reads go.mod and go.sum only; neither network nor home is needed for it.
    subprocess.run(
        (go, "mod", "edit", "-json"), check=True, capture_output=True, cwd=build.SOURCES, env={"HOME": "/nonexistent"}
    )
