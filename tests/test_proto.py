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


def test_loading_messages_leaves_protobufs_python_implementation_to_whoever_wants_it() -> None:
    program = """
import sys
from agent.proto import agent_pb2, runner_pb2
name = "google.protobuf.internal.python_message"
assert name not in sys.modules, "loaded"
spawn = runner_pb2.Spawn(command=agent_pb2.Command(argv=[b"echo"]))
assert runner_pb2.Spawn.FromString(spawn.SerializeToString()) == spawn
assert 'argv: "echo"' in str(spawn)
from google.protobuf import json_format, text_format
from google.protobuf.internal import python_message
assert python_message is sys.modules[name] and python_message.__file__
assert text_format.Parse(text_format.MessageToString(spawn), runner_pb2.Spawn()) == spawn
assert json_format.Parse(json_format.MessageToJson(spawn), runner_pb2.Spawn()) == spawn
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
