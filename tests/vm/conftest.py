"""One stack of one virtual machine for the whole tier: it boots for minutes where nothing accelerates it."""

import pathlib
from collections.abc import Iterator

import pytest

from components.inventory import Node
from components.places import image_folder
from components.qemu_machine import images
from tests.stack.project import Project, new_project


@pytest.fixture(scope="session")
def vm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The stack `demo` of the machine demo-1, up; destroyed afterwards, with nothing left."""
    image = image_folder("debian-12")
    assert images.is_whole(image), f"no image at {image}: `make image`"
    with new_project(tmp_path_factory.mktemp("bundles")) as project:
        (pathlib.Path(project.environment["GAXX_STATE_DIR"]) / "images").symlink_to(image.parent)
        project.create("demo", configuration())
        project.up(limit_s=1200)
        yield project


@pytest.fixture
def node(vm: Project) -> Node:
    """The machine, as the inventory has it now."""
    return vm.inventory().nodes[0]


def configuration(**more: object) -> dict[str, object]:
    """A stack of one machine."""
    return {"fleets": [{"name": "demo", "cloud": "qemu", "nodes": 1, **more}]}
