"""One agent process: configuration, agent, signals, exit code."""

import asyncio
import gc
import os
import signal
import sys

from agent.config import AgentConfig
from agent.core_log import CoreLog
from agent.errors import AgentError
from agent.logs import set_up_logging
from agent.readiness import feed_watchdog, notify_ready
from agent.server import Agent

_OBJECTS_BETWEEN_COLLECTIONS = 10_000
"""Python looks for garbage when so many objects have come to be: once in some commands, not several times in each."""


def run(core_log: CoreLog) -> int:
    """Serve until SIGTERM. Returns the exit code."""
    memory = set_up_logging(core_log.stderr)
    try:
        config = AgentConfig.from_environ(os.environ)
        if not config.require_mtls:
            sys.stderr.write(
                "gaxx agent: GAXX_AGENT_REQUIRE_MTLS=false: anyone on this machine who knows a token may execute\n"
            )
        return asyncio.run(_serve(Agent(config, memory), core_log))
    except AgentError as fault:
        sys.stderr.write(f"gaxx agent: {fault.message}\n")
        return fault.exit_code
    except OSError as fault:
        sys.stderr.write(f"gaxx agent: {fault.filename or 'cannot start'}: {fault.strerror}\n")
        return 1
    finally:
        core_log.close()


async def _serve(agent: Agent, core_log: CoreLog) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    core_log.start(loop, agent.node.metrics.refused, agent.refused_in_handshake)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.ensure_future(agent.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    await agent.start()
    # What was loaded stays: a search for garbage need not look at it, nor begin at each short command.
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    try:
        notify_ready()
    except OSError:
        await agent.stop_now()
        raise
    watchdog = asyncio.create_task(feed_watchdog())
    await stop.wait()
    drain = asyncio.create_task(agent.drain())
    stop.clear()
    again = asyncio.create_task(stop.wait())
    await asyncio.wait({drain, again}, return_when=asyncio.FIRST_COMPLETED)
    if not drain.done():
        drain.cancel()
        await asyncio.wait({drain})
        await agent.stop_now()
    else:
        drain.result()
    again.cancel()
    watchdog.cancel()
    return 0
