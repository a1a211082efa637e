"""The connection to a node; what it carries is seen on real ones (tests/stack/test_enrolled_node.py)."""

from agent.install import progress
from components.provider import ssh_session


def test_a_node_says_how_far_it_is_in_lines_that_the_controller_knows() -> None:
    assert progress.PREFIX.encode() == ssh_session.PROGRESS
