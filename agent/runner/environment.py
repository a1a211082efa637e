"""The environment that items start from: minimal, then what the node declares; never the agent's."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Names the node's own processes are configured by: an item must neither see nor set them.
RESERVED = ("GAXX_AGENT_", "GAXX_RUNNER_")


def environment_of_items(environ: Mapping[str, str], env_file: Path | None, work_dir: Path) -> dict[bytes, bytes]:
    """Return the items' environment from the runner's own and the JSON object in `env_file`.

    Raises OSError when the file cannot be read, ValueError when it is no object of strings.
    """
    made = {
        "PATH": environ.get("PATH") or DEFAULT_PATH,
        "HOME": environ.get("HOME") or str(work_dir),
        "LANG": environ.get("LANG") or "C.UTF-8",
    }
    if env_file is not None:
        declared = json.loads(env_file.read_text(encoding="utf-8"))
        if not isinstance(declared, dict) or not all(isinstance(value, str) for value in declared.values()):
            message = f"{env_file}: not a JSON object of strings"
            raise ValueError(message)
        made.update({name: value for name, value in declared.items() if not name.startswith(RESERVED)})
    return {os.fsencode(name): os.fsencode(value) for name, value in made.items()}
