"""Logs are JSON lines; secrets vanish from them and nothing else does."""

import asyncio
import contextlib
import io
import json
import logging
import os

import pytest

from agent.logs import JsonFormatter, Memory, redact


@pytest.mark.parametrize(
    ("text", "vanishes"),
    [
        ("authorization: Bearer abc.DEF-123_~", "abc.DEF"),
        ("token=s3cr3t; next", "s3cr3t"),
        ('{"password": "hunter2"}', "hunter2"),
        ("LINODE_TOKEN=abcdef0123", "abcdef0123"),
        ("-----BEGIN PRIVATE KEY-----\nMIG\n-----END PRIVATE KEY-----", "MIG"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", "b3Bl"),
    ],
)
def test_secrets_vanish(text: str, vanishes: str) -> None:
    assert vanishes not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "the token of 'ada' is not the one of ada",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "bearer of good news:",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_what_is_no_secret_survives(text: str) -> None:
    assert redact(text).replace("[redacted]", "of") == text


def test_a_line_is_one_json_object_with_what_was_added() -> None:
    record = logging.makeLogRecord({"name": "gaxx.agent", "levelname": "INFO", "msg": "two\nlines", "event": "x"})
    line = JsonFormatter().format(record)
    assert "\n" not in line
    parsed = json.loads(line)
    assert (parsed["message"], parsed["event"], parsed["logger"]) == ("two\nlines", "x", "gaxx.agent")
    assert parsed["time"].endswith("Z")


def test_a_line_is_written_and_kept_as_the_same() -> None:
    stream = io.StringIO()
    memory = Memory(stream)
    memory.handle(logging.makeLogRecord({"name": "gaxx.audit", "levelname": "INFO", "msg": "token=s3cr3t"}))
    (line,) = memory.lines("audit")
    assert stream.getvalue() == f"{line}\n"
    assert "s3cr3t" not in line


def test_a_log_that_nobody_reads_any_more_is_kept_all_the_same() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "w", buffering=1) as stream:
        memory = Memory(stream)
        for text in ("one", "two"):
            memory.handle(logging.makeLogRecord({"name": "gaxx.agent", "levelname": "INFO", "msg": text}))
    assert [json.loads(line)["message"] for line in memory.lines("agent")] == ["one", "two"]


async def test_a_follower_gets_the_tail_and_then_what_comes() -> None:
    memory = Memory()
    for number in range(5):
        memory.keep("agent", str(number))
    lines = memory.read("agent", 2, follow=True)
    assert [await anext(lines), await anext(lines)] == ["3", "4"]
    waiting = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    memory.keep("agent", "5")
    assert await waiting == "5"
    await lines.aclose()


def test_audit_lines_are_kept_apart() -> None:
    memory = Memory()
    memory.emit(logging.makeLogRecord({"name": "gaxx.audit", "msg": "refused"}))
    memory.emit(logging.makeLogRecord({"name": "gaxx.agent", "msg": "hello"}))
    assert len(memory.lines("audit")) == len(memory.lines("agent")) == 1
