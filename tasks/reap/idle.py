"""Which stacks are idle: every node says so itself, through its agent."""

import asyncio
from collections.abc import Sequence

from components.errors import GaxxError
from tasks import inventory, status, words
from tasks.reap.states import StackState

_LIMIT_S = 5.0


def sentence(stack: inventory.Stack, state: StackState) -> tuple[str, str]:
    """Say that all nodes of a stack are idle for as long as its fleets allow; else "" and, as far as known, why not.

    A node that does not answer, or a fleet that may idle for ever, keeps the stack.
    """
    limits = {node.name: node.idle_s for node in state.nodes}
    if not limits or not all(limits.values()):
        return "", ""
    try:
        found = inventory.find(stack)
        answers = asyncio.run(status.ask(found, found.inventory.nodes, timeout_s=_LIMIT_S))
    except (GaxxError, OSError) as error:
        return "", f"whether {stack.name} is idle could not be asked: {error}"
    return _judged(stack.name, limits, answers)


def _judged(name: str, limits: dict[str, int], answers: Sequence[status.Status]) -> tuple[str, str]:
    silent = [answer.node for answer in answers if answer.info is None]
    if silent or {answer.node for answer in answers} != set(limits):
        return "", f"whether {name} is idle could not be asked: {', '.join(silent) or 'its inventory'} does not answer"
    least = None
    for answer in answers:
        if answer.info is None or answer.info.why_not_idle or answer.info.idle_s < limits[answer.node]:
            return "", ""
        least = answer.info.idle_s if least is None else min(least, answer.info.idle_s)
    return f"all {len(answers)} nodes are idle for {words.duration(least or 0)}", ""
