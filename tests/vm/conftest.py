"""One stack of two virtual machines for the whole tier: they boot for minutes where nothing accelerates them."""

import pathlib
from collections.abc import Iterator

import pytest

from components.inventory import Node
from components.places import image_folder
from components.qemu_machine import images
from tests.stack.project import Project, new_project
from tests.vm import root_image


@pytest.fixture(scope="session")
def vm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The stack `demo` of the machines demo-1 and demo-2, up; destroyed afterwards, with nothing left."""
    image = image_folder("debian-12")
    assert images.is_whole(image), f"no image at {image}: `make image`"
    with new_project(tmp_path_factory.mktemp("bundles")) as project:
        folder = pathlib.Path(project.environment["GAXX_STATE_DIR"]) / "images"
        folder.mkdir(mode=0o755)
        root_image.make(image, folder / "debian-12")
        project.create("demo", configuration())
        project.up(limit_s=1800)
        yield project


@pytest.fixture
def node(vm: Project) -> Node:
    """The first machine, as the inventory has it now."""
    return vm.inventory().nodes[0]


def configuration(**more: object) -> dict[str, object]:
    """A stack of two machines."""
    return {"fleets": [{"name": "demo", "cloud": "qemu", "nodes": 2, **more}]}
