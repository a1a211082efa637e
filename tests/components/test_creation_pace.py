"""The estimate that a preview says."""

import pytest

from components.creation_pace import estimate


@pytest.mark.parametrize(
    ("cloud", "machines", "said"),
    [
        ("linode", 1, "1 node of linode made anew: about 1 min"),
        ("linode", 8, "8 nodes of linode made anew: about 1 min"),
        ("linode", 50, "50 nodes of linode made anew: about 3 min"),
        ("vultr", 50, "50 nodes of vultr made anew: about 1 min"),
        ("local", 50, ""),
        ("linode", 0, ""),
    ],
)
def test_an_estimate_knows_the_vendors_pace(cloud: str, machines: int, said: str) -> None:
    assert estimate(cloud, machines) == said
