"""Files that items leave behind: found by glob, whole, and never others than theirs."""

import hashlib
import os
from pathlib import Path

import pytest

from agent.work import returned


def collect(root: Path, *globs: bytes, held: Path | None = None) -> tuple[dict[bytes, int], list[str]]:
    """Return the paths found with their sizes, and the errors."""
    files, errors = returned.collect(os.fsencode(root), globs, held or root.parent / "held")
    return {file.path: file.size_bytes for file in files}, errors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "item"
    for path in ("a.png", "b.txt", "out/c.png", "out/deep/d.png", ".hidden.png", "out/[1].png"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return root


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        (b"*.png", {b"a.png"}),
        (b".*.png", {b".hidden.png"}),
        (b"a.png", {b"a.png"}),
        (b"./out//c.png", {b"out/c.png"}),
        (b"out/*.png", {b"out/c.png", b"out/[1].png"}),
        (b"out/[[]1].png", {b"out/[1].png"}),
        (b"out", {b"out/c.png", b"out/deep/d.png", b"out/[1].png"}),
        (b"**/*.png", {b"a.png", b"out/c.png", b"out/deep/d.png", b"out/[1].png"}),
        (b"?.txt", {b"b.txt"}),
    ],
)
def test_a_glob_finds_what_a_shell_would_find(folder: Path, glob: bytes, found: set[bytes]) -> None:
    files, errors = collect(folder, glob)
    assert (set(files), errors) == (found, [])


def test_a_glob_that_matches_nothing_is_said(folder: Path) -> None:
    assert collect(folder, b"*.gif") == ({}, ["*.gif: no such file"])


@pytest.mark.parametrize("glob", [b"/etc/passwd", b"../x", b"out/../../x"])
def test_a_glob_that_leads_out_is_refused(folder: Path, glob: bytes) -> None:
    files, errors = collect(folder, glob)
    assert files == {}
    assert "leads out of the folder" in errors[0]


def test_links_are_not_followed_neither_to_files_nor_through_folders(folder: Path) -> None:
    (folder / "key.png").symlink_to("/etc/hostname")
    (folder / "way").symlink_to("/etc")
    for glob in (b"key.png", b"way/hostname", b"way"):
        files, errors = collect(folder, glob)
        assert files == {}
        assert errors, glob


def test_a_pipe_in_the_way_is_refused_and_blocks_nobody(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    files, errors = collect(folder, b"pipe")
    assert (files, errors) == ({}, ["pipe: pipe is not a regular file"])


def test_small_files_travel_with_the_result_and_large_ones_are_held_as_they_were(folder: Path, tmp_path: Path) -> None:
    large = os.urandom(returned.INLINE_BYTES + 1)
    (folder / "large").write_bytes(large)
    (folder / "large").chmod(0o755)
    files, errors = returned.collect(os.fsencode(folder), [b"large", b"a.png"], tmp_path / "held")
    (folder / "large").write_bytes(b"changed by a later item")
    assert errors == []
    assert [(file.is_inline, file.inline_data, file.mode & 0o111) for file in files] == [
        (False, b"", 0o111),
        (True, b"a.png", 0),
    ]
    assert (tmp_path / "held" / "0").read_bytes() == large
    assert files[0].sha256 == hashlib.sha256(large).hexdigest()


def test_two_globs_that_find_the_same_file_return_it_once(folder: Path) -> None:
    files, errors = collect(folder, b"*.png", b"a.*")
    assert (set(files), errors) == ({b"a.png"}, [])


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    files, errors = collect(tmp_path / "nothing", b"*")
    assert files == {}
    assert "No such file or directory" in errors[0]
