"""The generated protobuf code in the tree is what the .proto files say."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent


def test_generating_the_protobuf_code_again_changes_nothing(tmp_path: pathlib.Path) -> None:
    # `make proto` itself, minus the set-up that it would start with.
    recipe = ("make", "--no-print-directory", "--silent", "proto", f"OUT={tmp_path}", "PYTHON=true")
    subprocess.run((*recipe, f"VENV={pathlib.Path(sys.executable).parent}"), check=True, cwd=ROOT)
    generated = {path.name: path.read_bytes() for path in (tmp_path / "agent" / "proto").iterdir()}
    committed = {path.name: path.read_bytes() for path in (ROOT / "agent" / "proto").glob("*_pb2*")}
    assert sorted(generated) == sorted(committed)
    assert generated == committed
