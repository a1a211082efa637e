"""Frames survive any cutting of the stream, and an impossible length ends the conversation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.proto.runner_pb2 import Output, RunnerEvent
from agent.runner.frames import Decoder, FrameError, encode


@given(st.lists(st.binary(max_size=300), max_size=20), st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_messages_come_out_as_they_went_in_however_the_stream_is_cut(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(encode(RunnerEvent(output=Output(data=body))) for body in bodies)
    decoder = Decoder()
    found = []
    at = turn = 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        found += [RunnerEvent.FromString(payload).output.data for payload in decoder.feed(stream[at : at + size])]
        at, turn = at + size, turn + 1
    assert found == bodies


def test_an_impossible_length_is_refused() -> None:
    with pytest.raises(FrameError, match="a frame of 4294967295 bytes"):
        list(Decoder().feed(b"\xff\xff\xff\xff"))
