"""Machines are ordered no faster than their vendor makes them: each waits for its turn before it is declared.

Waiting here keeps none of the engine's slots busy, which a resource that waits would.
"""

import asyncio
import time

import pulumi

from components.clouds.base import Text
from components.creation_pace import PACES, Turns

_begun = time.time()
_turns: dict[str, Turns] = {}


def in_turn(cloud: str, identity_made: pulumi.Output[float | None], user_data: Text) -> Text:
    """Return the user-data of a machine once it may be ordered.

    A machine is made when its identity is: one that is older than this program needs no turn.
    """
    pace = PACES.get(cloud)
    if pace is None or pulumi.runtime.is_dry_run():
        return user_data
    turns = _turns.setdefault(cloud, Turns(pace))

    async def waited(values: list[object]) -> str:
        made, text = values
        if isinstance(made, float | int) and made >= _begun:
            await asyncio.sleep(turns.wait_s(time.monotonic()))
        return str(text)

    return pulumi.Output.secret(pulumi.Output.all(identity_made, user_data).apply(waited))
