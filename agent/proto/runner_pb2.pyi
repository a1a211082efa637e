from agent.proto import agent_pb2 as _agent_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunnerRequest(_message.Message):
    __slots__ = ("spawn", "input", "kill", "batch", "credit")
    SPAWN_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    KILL_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    spawn: Spawn
    input: Input
    kill: Kill
    batch: Batch
    credit: Credit
    def __init__(self, spawn: _Optional[_Union[Spawn, _Mapping]] = ..., input: _Optional[_Union[Input, _Mapping]] = ..., kill: _Optional[_Union[Kill, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ...) -> None: ...

class Spawn(_message.Message):
    __slots__ = ("id", "command", "collect", "detached", "stdin_data", "inline_limit_bytes", "spool", "work_dir", "says_began")
    ID_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    COLLECT_FIELD_NUMBER: _ClassVar[int]
    DETACHED_FIELD_NUMBER: _ClassVar[int]
    STDIN_DATA_FIELD_NUMBER: _ClassVar[int]
    INLINE_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPOOL_FIELD_NUMBER: _ClassVar[int]
    WORK_DIR_FIELD_NUMBER: _ClassVar[int]
    SAYS_BEGAN_FIELD_NUMBER: _ClassVar[int]
    id: int
    command: _agent_pb2.Command
    collect: bool
    detached: bool
    stdin_data: bytes
    inline_limit_bytes: int
    spool: bytes
    work_dir: bytes
    says_began: bool
    def __init__(self, id: _Optional[int] = ..., command: _Optional[_Union[_agent_pb2.Command, _Mapping]] = ..., collect: bool = ..., detached: bool = ..., stdin_data: _Optional[bytes] = ..., inline_limit_bytes: _Optional[int] = ..., spool: _Optional[bytes] = ..., work_dir: _Optional[bytes] = ..., says_began: bool = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("spawns", "slots")
    SPAWNS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    spawns: _containers.RepeatedCompositeFieldContainer[Spawn]
    slots: int
    def __init__(self, spawns: _Optional[_Iterable[_Union[Spawn, _Mapping]]] = ..., slots: _Optional[int] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("id", "data", "eof")
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    EOF_FIELD_NUMBER: _ClassVar[int]
    id: int
    data: bytes
    eof: bool
    def __init__(self, id: _Optional[int] = ..., data: _Optional[bytes] = ..., eof: bool = ...) -> None: ...

class Kill(_message.Message):
    __slots__ = ("id", "signal", "queued_too", "ending")
    ID_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    QUEUED_TOO_FIELD_NUMBER: _ClassVar[int]
    ENDING_FIELD_NUMBER: _ClassVar[int]
    id: int
    signal: int
    queued_too: bool
    ending: _agent_pb2.Ending
    def __init__(self, id: _Optional[int] = ..., signal: _Optional[int] = ..., queued_too: bool = ..., ending: _Optional[_Union[_agent_pb2.Ending, str]] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("id", "bytes")
    ID_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    id: int
    bytes: int
    def __init__(self, id: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class RunnerEvent(_message.Message):
    __slots__ = ("ready", "began", "output", "finished", "finished_batch", "taken")
    READY_FIELD_NUMBER: _ClassVar[int]
    BEGAN_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    FINISHED_BATCH_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    ready: Ready
    began: Began
    output: Output
    finished: Finished
    finished_batch: FinishedBatch
    taken: Taken
    def __init__(self, ready: _Optional[_Union[Ready, _Mapping]] = ..., began: _Optional[_Union[Began, _Mapping]] = ..., output: _Optional[_Union[Output, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ..., finished_batch: _Optional[_Union[FinishedBatch, _Mapping]] = ..., taken: _Optional[_Union[Taken, _Mapping]] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("slots",)
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    slots: int
    def __init__(self, slots: _Optional[int] = ...) -> None: ...

class Began(_message.Message):
    __slots__ = ("id", "pid")
    ID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    id: int
    pid: int
    def __init__(self, id: _Optional[int] = ..., pid: _Optional[int] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("id", "is_stderr", "data")
    ID_FIELD_NUMBER: _ClassVar[int]
    IS_STDERR_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    id: int
    is_stderr: bool
    data: bytes
    def __init__(self, id: _Optional[int] = ..., is_stderr: bool = ..., data: _Optional[bytes] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ("id", "exit", "stdout", "stderr", "start_unix_s", "end_unix_s", "output_held")
    ID_FIELD_NUMBER: _ClassVar[int]
    EXIT_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    START_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    END_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_HELD_FIELD_NUMBER: _ClassVar[int]
    id: int
    exit: _agent_pb2.Exit
    stdout: bytes
    stderr: bytes
    start_unix_s: float
    end_unix_s: float
    output_held: bool
    def __init__(self, id: _Optional[int] = ..., exit: _Optional[_Union[_agent_pb2.Exit, _Mapping]] = ..., stdout: _Optional[bytes] = ..., stderr: _Optional[bytes] = ..., start_unix_s: _Optional[float] = ..., end_unix_s: _Optional[float] = ..., output_held: bool = ...) -> None: ...

class FinishedBatch(_message.Message):
    __slots__ = ("finished",)
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    finished: _containers.RepeatedCompositeFieldContainer[Finished]
    def __init__(self, finished: _Optional[_Iterable[_Union[Finished, _Mapping]]] = ...) -> None: ...

class Taken(_message.Message):
    __slots__ = ("id", "bytes")
    ID_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    id: int
    bytes: int
    def __init__(self, id: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...
