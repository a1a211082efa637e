"""What items wrote and returned, on the controller."""

import pathlib
import stat

import hypothesis
import pytest
from hypothesis import strategies as st

from tasks.work.errors import JournalError
from tasks.work.results import ResultStore, ReturnedFileError, out_digest


@pytest.fixture
def store(tmp_path: pathlib.Path) -> ResultStore:
    (tmp_path / "run").mkdir()
    return ResultStore(tmp_path / "run", returns_to=str(tmp_path / "here"))


def test_outputs_are_packed_and_found_again(store: ResultStore) -> None:
    first, second = store.put(b"one"), store.put(b"two")
    store.flush()
    third = store.put(b"three")
    store.flush()
    store.sync()
    assert [store.read(stored) for stored in (first, second, third)] == [b"one", b"two", b"three"]


def test_a_later_session_appends_to_what_is_there(tmp_path: pathlib.Path) -> None:
    first = ResultStore(tmp_path)
    kept = first.put(b"kept")
    first.flush()
    first.close()
    again = ResultStore(tmp_path)
    more = again.put(b"more")
    again.flush()
    assert [again.read(kept), again.read(more)] == [b"kept", b"more"]


def test_a_full_disk_is_said_and_leaves_no_half_output(tmp_path: pathlib.Path) -> None:
    (tmp_path / "outputs").symlink_to("/dev/full")
    store = ResultStore(tmp_path)
    store.put(b"x")
    with pytest.raises(JournalError, match=r"No space left.*--resume"):
        store.flush()


@pytest.mark.parametrize("path", [b"", b"/etc/passwd", b"../x", b"a/../../x", b"a//b", b".", b"a/./b", b"zero\0"])
def test_a_returned_file_whose_name_leads_out_is_refused(store: ResultStore, path: bytes) -> None:
    with pytest.raises(ReturnedFileError, match="leads out"):
        store.store_file(0, path, 0o644, b"data")


@hypothesis.given(path=st.binary(max_size=20))
def test_no_name_whatever_leads_out(tmp_path_factory: pytest.TempPathFactory, path: bytes) -> None:
    folder = tmp_path_factory.mktemp("names")
    store = ResultStore(folder, returns_to=str(folder / "here"))
    try:
        target = store.target(0, path)
    except ReturnedFileError:
        return
    assert target.resolve().is_relative_to(folder / "here")


def test_a_returned_file_is_whole_or_not_there_and_never_too_powerful(store: ResultStore) -> None:
    target = store.store_file(0, b"deep/er/tool", 0o6777, b"data")
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"data", 0o755)
    assert [path.name for path in target.parent.iterdir()] == ["tool"]


def test_files_that_may_collide_get_a_folder_an_item(tmp_path: pathlib.Path) -> None:
    store = ResultStore(tmp_path, returns_to=str(tmp_path / "here"), collide=True)
    paths = [store.store_file(index, b"log.txt", 0o600, b"%d" % index) for index in range(2)]
    assert [str(path.relative_to(tmp_path)) for path in paths] == ["here/1/log.txt", "here/2/log.txt"]


def test_outputs_are_compared_by_digest() -> None:
    assert out_digest(b"") == ""
    assert out_digest(b"a") != out_digest(b"b")
