from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Ending(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENDING_UNSPECIFIED: _ClassVar[Ending]
    EXITED: _ClassVar[Ending]
    SIGNALED: _ClassVar[Ending]
    DEADLINE: _ClassVar[Ending]
    CANCELLED: _ClassVar[Ending]
    SPAWN_FAILED: _ClassVar[Ending]
    RUNNER_LOST: _ClassVar[Ending]
ENDING_UNSPECIFIED: Ending
EXITED: Ending
SIGNALED: Ending
DEADLINE: Ending
CANCELLED: Ending
SPAWN_FAILED: Ending
RUNNER_LOST: Ending

class Command(_message.Message):
    __slots__ = ("argv", "cwd", "env", "deadline_s", "stdout_limit_bytes", "stderr_limit_bytes", "has_stdin")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    ARGV_FIELD_NUMBER: _ClassVar[int]
    CWD_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    STDOUT_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    STDERR_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    HAS_STDIN_FIELD_NUMBER: _ClassVar[int]
    argv: _containers.RepeatedScalarFieldContainer[bytes]
    cwd: bytes
    env: _containers.ScalarMap[str, bytes]
    deadline_s: float
    stdout_limit_bytes: int
    stderr_limit_bytes: int
    has_stdin: bool
    def __init__(self, argv: _Optional[_Iterable[bytes]] = ..., cwd: _Optional[bytes] = ..., env: _Optional[_Mapping[str, bytes]] = ..., deadline_s: _Optional[float] = ..., stdout_limit_bytes: _Optional[int] = ..., stderr_limit_bytes: _Optional[int] = ..., has_stdin: bool = ...) -> None: ...

class ExecRequest(_message.Message):
    __slots__ = ("start", "stdin", "stdin_eof", "signal")
    class Start(_message.Message):
        __slots__ = ("command", "detached", "run_id")
        COMMAND_FIELD_NUMBER: _ClassVar[int]
        DETACHED_FIELD_NUMBER: _ClassVar[int]
        RUN_ID_FIELD_NUMBER: _ClassVar[int]
        command: Command
        detached: bool
        run_id: str
        def __init__(self, command: _Optional[_Union[Command, _Mapping]] = ..., detached: bool = ..., run_id: _Optional[str] = ...) -> None: ...
    START_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    STDIN_EOF_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    start: ExecRequest.Start
    stdin: bytes
    stdin_eof: bool
    signal: int
    def __init__(self, start: _Optional[_Union[ExecRequest.Start, _Mapping]] = ..., stdin: _Optional[bytes] = ..., stdin_eof: bool = ..., signal: _Optional[int] = ...) -> None: ...

class ExecEvent(_message.Message):
    __slots__ = ("started", "stdout", "stderr", "exited")
    class Started(_message.Message):
        __slots__ = ("pid",)
        PID_FIELD_NUMBER: _ClassVar[int]
        pid: int
        def __init__(self, pid: _Optional[int] = ...) -> None: ...
    STARTED_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    EXITED_FIELD_NUMBER: _ClassVar[int]
    started: ExecEvent.Started
    stdout: bytes
    stderr: bytes
    exited: Exit
    def __init__(self, started: _Optional[_Union[ExecEvent.Started, _Mapping]] = ..., stdout: _Optional[bytes] = ..., stderr: _Optional[bytes] = ..., exited: _Optional[_Union[Exit, _Mapping]] = ...) -> None: ...

class Exit(_message.Message):
    __slots__ = ("ending", "exit_code", "signal", "error", "wall_s", "user_s", "system_s", "max_rss_bytes", "stdout_bytes", "stderr_bytes", "stdout_cut", "stderr_cut", "pid")
    ENDING_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    WALL_S_FIELD_NUMBER: _ClassVar[int]
    USER_S_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_S_FIELD_NUMBER: _ClassVar[int]
    MAX_RSS_BYTES_FIELD_NUMBER: _ClassVar[int]
    STDOUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    STDERR_BYTES_FIELD_NUMBER: _ClassVar[int]
    STDOUT_CUT_FIELD_NUMBER: _ClassVar[int]
    STDERR_CUT_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    ending: Ending
    exit_code: int
    signal: int
    error: str
    wall_s: float
    user_s: float
    system_s: float
    max_rss_bytes: int
    stdout_bytes: int
    stderr_bytes: int
    stdout_cut: bool
    stderr_cut: bool
    pid: int
    def __init__(self, ending: _Optional[_Union[Ending, str]] = ..., exit_code: _Optional[int] = ..., signal: _Optional[int] = ..., error: _Optional[str] = ..., wall_s: _Optional[float] = ..., user_s: _Optional[float] = ..., system_s: _Optional[float] = ..., max_rss_bytes: _Optional[int] = ..., stdout_bytes: _Optional[int] = ..., stderr_bytes: _Optional[int] = ..., stdout_cut: bool = ..., stderr_cut: bool = ..., pid: _Optional[int] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("index", "attempt", "lease", "argv", "value", "return_globs", "files")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    ARGV_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    RETURN_GLOBS_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    index: int
    attempt: int
    lease: int
    argv: _containers.RepeatedScalarFieldContainer[bytes]
    value: bytes
    return_globs: _containers.RepeatedScalarFieldContainer[bytes]
    files: _containers.RepeatedCompositeFieldContainer[SentFile]
    def __init__(self, index: _Optional[int] = ..., attempt: _Optional[int] = ..., lease: _Optional[int] = ..., argv: _Optional[_Iterable[bytes]] = ..., value: _Optional[bytes] = ..., return_globs: _Optional[_Iterable[bytes]] = ..., files: _Optional[_Iterable[_Union[SentFile, _Mapping]]] = ...) -> None: ...

class SentFile(_message.Message):
    __slots__ = ("path", "data", "mode")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    data: bytes
    mode: int
    def __init__(self, path: _Optional[bytes] = ..., data: _Optional[bytes] = ..., mode: _Optional[int] = ...) -> None: ...

class WorkRequest(_message.Message):
    __slots__ = ("hello", "lease", "ack", "cancel", "beat", "fetch", "bye")
    class Hello(_message.Message):
        __slots__ = ("run_id", "env", "cwd", "deadline_s", "stdout_limit_bytes", "stderr_limit_bytes", "slots", "lease_s", "return_globs", "keep_whole_output", "node_rank", "node_count", "item_count", "isolate", "files")
        class EnvEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: bytes
            def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
        RUN_ID_FIELD_NUMBER: _ClassVar[int]
        ENV_FIELD_NUMBER: _ClassVar[int]
        CWD_FIELD_NUMBER: _ClassVar[int]
        DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
        STDOUT_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
        STDERR_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
        SLOTS_FIELD_NUMBER: _ClassVar[int]
        LEASE_S_FIELD_NUMBER: _ClassVar[int]
        RETURN_GLOBS_FIELD_NUMBER: _ClassVar[int]
        KEEP_WHOLE_OUTPUT_FIELD_NUMBER: _ClassVar[int]
        NODE_RANK_FIELD_NUMBER: _ClassVar[int]
        NODE_COUNT_FIELD_NUMBER: _ClassVar[int]
        ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
        ISOLATE_FIELD_NUMBER: _ClassVar[int]
        FILES_FIELD_NUMBER: _ClassVar[int]
        run_id: str
        env: _containers.ScalarMap[str, bytes]
        cwd: bytes
        deadline_s: float
        stdout_limit_bytes: int
        stderr_limit_bytes: int
        slots: int
        lease_s: float
        return_globs: _containers.RepeatedScalarFieldContainer[str]
        keep_whole_output: bool
        node_rank: int
        node_count: int
        item_count: int
        isolate: bool
        files: _containers.RepeatedCompositeFieldContainer[SentFile]
        def __init__(self, run_id: _Optional[str] = ..., env: _Optional[_Mapping[str, bytes]] = ..., cwd: _Optional[bytes] = ..., deadline_s: _Optional[float] = ..., stdout_limit_bytes: _Optional[int] = ..., stderr_limit_bytes: _Optional[int] = ..., slots: _Optional[int] = ..., lease_s: _Optional[float] = ..., return_globs: _Optional[_Iterable[str]] = ..., keep_whole_output: bool = ..., node_rank: _Optional[int] = ..., node_count: _Optional[int] = ..., item_count: _Optional[int] = ..., isolate: bool = ..., files: _Optional[_Iterable[_Union[SentFile, _Mapping]]] = ...) -> None: ...
    class Lease(_message.Message):
        __slots__ = ("items", "deadline_s")
        ITEMS_FIELD_NUMBER: _ClassVar[int]
        DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
        items: _containers.RepeatedCompositeFieldContainer[Item]
        deadline_s: float
        def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., deadline_s: _Optional[float] = ...) -> None: ...
    class Ack(_message.Message):
        __slots__ = ("result_ids",)
        RESULT_IDS_FIELD_NUMBER: _ClassVar[int]
        result_ids: _containers.RepeatedScalarFieldContainer[int]
        def __init__(self, result_ids: _Optional[_Iterable[int]] = ...) -> None: ...
    class Cancel(_message.Message):
        __slots__ = ("all", "indexes")
        ALL_FIELD_NUMBER: _ClassVar[int]
        INDEXES_FIELD_NUMBER: _ClassVar[int]
        all: bool
        indexes: _containers.RepeatedScalarFieldContainer[int]
        def __init__(self, all: bool = ..., indexes: _Optional[_Iterable[int]] = ...) -> None: ...
    class Beat(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class FetchOutput(_message.Message):
        __slots__ = ("result_id", "name", "offset")
        RESULT_ID_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        OFFSET_FIELD_NUMBER: _ClassVar[int]
        result_id: int
        name: bytes
        offset: int
        def __init__(self, result_id: _Optional[int] = ..., name: _Optional[bytes] = ..., offset: _Optional[int] = ...) -> None: ...
    class Bye(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    HELLO_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    FETCH_FIELD_NUMBER: _ClassVar[int]
    BYE_FIELD_NUMBER: _ClassVar[int]
    hello: WorkRequest.Hello
    lease: WorkRequest.Lease
    ack: WorkRequest.Ack
    cancel: WorkRequest.Cancel
    beat: WorkRequest.Beat
    fetch: WorkRequest.FetchOutput
    bye: WorkRequest.Bye
    def __init__(self, hello: _Optional[_Union[WorkRequest.Hello, _Mapping]] = ..., lease: _Optional[_Union[WorkRequest.Lease, _Mapping]] = ..., ack: _Optional[_Union[WorkRequest.Ack, _Mapping]] = ..., cancel: _Optional[_Union[WorkRequest.Cancel, _Mapping]] = ..., beat: _Optional[_Union[WorkRequest.Beat, _Mapping]] = ..., fetch: _Optional[_Union[WorkRequest.FetchOutput, _Mapping]] = ..., bye: _Optional[_Union[WorkRequest.Bye, _Mapping]] = ...) -> None: ...

class WorkEvent(_message.Message):
    __slots__ = ("welcome", "results", "beat", "chunk")
    class Welcome(_message.Message):
        __slots__ = ("slots", "agent_build", "held_results", "running")
        SLOTS_FIELD_NUMBER: _ClassVar[int]
        AGENT_BUILD_FIELD_NUMBER: _ClassVar[int]
        HELD_RESULTS_FIELD_NUMBER: _ClassVar[int]
        RUNNING_FIELD_NUMBER: _ClassVar[int]
        slots: int
        agent_build: str
        held_results: int
        running: _containers.RepeatedScalarFieldContainer[int]
        def __init__(self, slots: _Optional[int] = ..., agent_build: _Optional[str] = ..., held_results: _Optional[int] = ..., running: _Optional[_Iterable[int]] = ...) -> None: ...
    class Results(_message.Message):
        __slots__ = ("results",)
        RESULTS_FIELD_NUMBER: _ClassVar[int]
        results: _containers.RepeatedCompositeFieldContainer[ItemResult]
        def __init__(self, results: _Optional[_Iterable[_Union[ItemResult, _Mapping]]] = ...) -> None: ...
    class Beat(_message.Message):
        __slots__ = ("running", "queued", "draining")
        RUNNING_FIELD_NUMBER: _ClassVar[int]
        QUEUED_FIELD_NUMBER: _ClassVar[int]
        DRAINING_FIELD_NUMBER: _ClassVar[int]
        running: _containers.RepeatedScalarFieldContainer[int]
        queued: int
        draining: bool
        def __init__(self, running: _Optional[_Iterable[int]] = ..., queued: _Optional[int] = ..., draining: bool = ...) -> None: ...
    class Chunk(_message.Message):
        __slots__ = ("result_id", "name", "offset", "data", "last", "error")
        RESULT_ID_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        OFFSET_FIELD_NUMBER: _ClassVar[int]
        DATA_FIELD_NUMBER: _ClassVar[int]
        LAST_FIELD_NUMBER: _ClassVar[int]
        ERROR_FIELD_NUMBER: _ClassVar[int]
        result_id: int
        name: bytes
        offset: int
        data: bytes
        last: bool
        error: str
        def __init__(self, result_id: _Optional[int] = ..., name: _Optional[bytes] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., last: bool = ..., error: _Optional[str] = ...) -> None: ...
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    welcome: WorkEvent.Welcome
    results: WorkEvent.Results
    beat: WorkEvent.Beat
    chunk: WorkEvent.Chunk
    def __init__(self, welcome: _Optional[_Union[WorkEvent.Welcome, _Mapping]] = ..., results: _Optional[_Union[WorkEvent.Results, _Mapping]] = ..., beat: _Optional[_Union[WorkEvent.Beat, _Mapping]] = ..., chunk: _Optional[_Union[WorkEvent.Chunk, _Mapping]] = ...) -> None: ...

class ItemResult(_message.Message):
    __slots__ = ("result_id", "index", "attempt", "lease", "exit", "stdout", "stderr", "start_unix_s", "end_unix_s", "files", "output_held", "file_errors")
    RESULT_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EXIT_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    START_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    END_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_HELD_FIELD_NUMBER: _ClassVar[int]
    FILE_ERRORS_FIELD_NUMBER: _ClassVar[int]
    result_id: int
    index: int
    attempt: int
    lease: int
    exit: Exit
    stdout: bytes
    stderr: bytes
    start_unix_s: float
    end_unix_s: float
    files: _containers.RepeatedCompositeFieldContainer[ReturnedFile]
    output_held: bool
    file_errors: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, result_id: _Optional[int] = ..., index: _Optional[int] = ..., attempt: _Optional[int] = ..., lease: _Optional[int] = ..., exit: _Optional[_Union[Exit, _Mapping]] = ..., stdout: _Optional[bytes] = ..., stderr: _Optional[bytes] = ..., start_unix_s: _Optional[float] = ..., end_unix_s: _Optional[float] = ..., files: _Optional[_Iterable[_Union[ReturnedFile, _Mapping]]] = ..., output_held: bool = ..., file_errors: _Optional[_Iterable[str]] = ...) -> None: ...

class ReturnedFile(_message.Message):
    __slots__ = ("path", "size_bytes", "sha256", "mode", "inline_data", "is_inline")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    INLINE_DATA_FIELD_NUMBER: _ClassVar[int]
    IS_INLINE_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    size_bytes: int
    sha256: str
    mode: int
    inline_data: bytes
    is_inline: bool
    def __init__(self, path: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., mode: _Optional[int] = ..., inline_data: _Optional[bytes] = ..., is_inline: bool = ...) -> None: ...

class InfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NodeInfo(_message.Message):
    __slots__ = ("node", "agent_build", "python", "architecture", "uptime_s", "slots", "running_items", "queued_items", "items_done", "draining", "runner_alive", "load_1m", "memory_total_bytes", "memory_available_bytes", "disk_total_bytes", "disk_free_bytes", "manifest_serial", "expires_unix_s", "idle_s", "why_not_idle", "groups", "ssh_host_keys", "machine", "idle_limit_s")
    NODE_FIELD_NUMBER: _ClassVar[int]
    AGENT_BUILD_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    UPTIME_S_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_ITEMS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_ITEMS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_DONE_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    RUNNER_ALIVE_FIELD_NUMBER: _ClassVar[int]
    LOAD_1M_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_SERIAL_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    IDLE_S_FIELD_NUMBER: _ClassVar[int]
    WHY_NOT_IDLE_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    SSH_HOST_KEYS_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    IDLE_LIMIT_S_FIELD_NUMBER: _ClassVar[int]
    node: str
    agent_build: str
    python: str
    architecture: str
    uptime_s: float
    slots: int
    running_items: int
    queued_items: int
    items_done: int
    draining: bool
    runner_alive: bool
    load_1m: float
    memory_total_bytes: int
    memory_available_bytes: int
    disk_total_bytes: int
    disk_free_bytes: int
    manifest_serial: int
    expires_unix_s: float
    idle_s: float
    why_not_idle: str
    groups: _containers.RepeatedScalarFieldContainer[str]
    ssh_host_keys: _containers.RepeatedScalarFieldContainer[str]
    machine: str
    idle_limit_s: float
    def __init__(self, node: _Optional[str] = ..., agent_build: _Optional[str] = ..., python: _Optional[str] = ..., architecture: _Optional[str] = ..., uptime_s: _Optional[float] = ..., slots: _Optional[int] = ..., running_items: _Optional[int] = ..., queued_items: _Optional[int] = ..., items_done: _Optional[int] = ..., draining: bool = ..., runner_alive: bool = ..., load_1m: _Optional[float] = ..., memory_total_bytes: _Optional[int] = ..., memory_available_bytes: _Optional[int] = ..., disk_total_bytes: _Optional[int] = ..., disk_free_bytes: _Optional[int] = ..., manifest_serial: _Optional[int] = ..., expires_unix_s: _Optional[float] = ..., idle_s: _Optional[float] = ..., why_not_idle: _Optional[str] = ..., groups: _Optional[_Iterable[str]] = ..., ssh_host_keys: _Optional[_Iterable[str]] = ..., machine: _Optional[str] = ..., idle_limit_s: _Optional[float] = ...) -> None: ...

class PutRequest(_message.Message):
    __slots__ = ("begin", "data", "end")
    class Begin(_message.Message):
        __slots__ = ("path", "size_bytes", "sha256", "mode")
        PATH_FIELD_NUMBER: _ClassVar[int]
        SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
        SHA256_FIELD_NUMBER: _ClassVar[int]
        MODE_FIELD_NUMBER: _ClassVar[int]
        path: str
        size_bytes: int
        sha256: str
        mode: int
        def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., mode: _Optional[int] = ...) -> None: ...
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    begin: PutRequest.Begin
    data: bytes
    end: bool
    def __init__(self, begin: _Optional[_Union[PutRequest.Begin, _Mapping]] = ..., data: _Optional[bytes] = ..., end: bool = ...) -> None: ...

class PutReply(_message.Message):
    __slots__ = ("have_bytes", "stored")
    HAVE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    have_bytes: int
    stored: bool
    def __init__(self, have_bytes: _Optional[int] = ..., stored: bool = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("globs", "base")
    GLOBS_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    globs: _containers.RepeatedScalarFieldContainer[str]
    base: bytes
    def __init__(self, globs: _Optional[_Iterable[str]] = ..., base: _Optional[bytes] = ...) -> None: ...

class GetReply(_message.Message):
    __slots__ = ("header", "data", "trailer")
    class Header(_message.Message):
        __slots__ = ("path", "size_bytes", "mode", "is_directory")
        PATH_FIELD_NUMBER: _ClassVar[int]
        SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
        MODE_FIELD_NUMBER: _ClassVar[int]
        IS_DIRECTORY_FIELD_NUMBER: _ClassVar[int]
        path: str
        size_bytes: int
        mode: int
        is_directory: bool
        def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., mode: _Optional[int] = ..., is_directory: bool = ...) -> None: ...
    class Trailer(_message.Message):
        __slots__ = ("sha256", "error")
        SHA256_FIELD_NUMBER: _ClassVar[int]
        ERROR_FIELD_NUMBER: _ClassVar[int]
        sha256: str
        error: str
        def __init__(self, sha256: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TRAILER_FIELD_NUMBER: _ClassVar[int]
    header: GetReply.Header
    data: bytes
    trailer: GetReply.Trailer
    def __init__(self, header: _Optional[_Union[GetReply.Header, _Mapping]] = ..., data: _Optional[bytes] = ..., trailer: _Optional[_Union[GetReply.Trailer, _Mapping]] = ...) -> None: ...

class LogsRequest(_message.Message):
    __slots__ = ("source", "tail", "follow")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    source: str
    tail: int
    follow: bool
    def __init__(self, source: _Optional[str] = ..., tail: _Optional[int] = ..., follow: bool = ...) -> None: ...

class LogLine(_message.Message):
    __slots__ = ("line",)
    LINE_FIELD_NUMBER: _ClassVar[int]
    line: bytes
    def __init__(self, line: _Optional[bytes] = ...) -> None: ...

class AuditRequest(_message.Message):
    __slots__ = ("from_sequence",)
    FROM_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    from_sequence: int
    def __init__(self, from_sequence: _Optional[int] = ...) -> None: ...

class AuditReply(_message.Message):
    __slots__ = ("lines", "head")
    class Lines(_message.Message):
        __slots__ = ("file", "line", "data")
        FILE_FIELD_NUMBER: _ClassVar[int]
        LINE_FIELD_NUMBER: _ClassVar[int]
        DATA_FIELD_NUMBER: _ClassVar[int]
        file: str
        line: int
        data: bytes
        def __init__(self, file: _Optional[str] = ..., line: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...
    class Head(_message.Message):
        __slots__ = ("sequence", "sha256", "oldest_sequence", "node", "machine")
        SEQUENCE_FIELD_NUMBER: _ClassVar[int]
        SHA256_FIELD_NUMBER: _ClassVar[int]
        OLDEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
        NODE_FIELD_NUMBER: _ClassVar[int]
        MACHINE_FIELD_NUMBER: _ClassVar[int]
        sequence: int
        sha256: str
        oldest_sequence: int
        node: str
        machine: str
        def __init__(self, sequence: _Optional[int] = ..., sha256: _Optional[str] = ..., oldest_sequence: _Optional[int] = ..., node: _Optional[str] = ..., machine: _Optional[str] = ...) -> None: ...
    LINES_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    lines: AuditReply.Lines
    head: AuditReply.Head
    def __init__(self, lines: _Optional[_Union[AuditReply.Lines, _Mapping]] = ..., head: _Optional[_Union[AuditReply.Head, _Mapping]] = ...) -> None: ...
