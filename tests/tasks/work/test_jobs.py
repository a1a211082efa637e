"""Job templates: validated with file and line, filled in, and executed on real agents."""

import gzip
import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from PIL import Image

from components.errors import GaxxError
from tasks import check
from tasks.work import job_template
from tasks.work.errors import TemplateError
from tests.tasks.fleet import ROOT, Fleet

JOBS = ROOT / "jobs"
MINIMAL = {"description": "d", "items": {"lines": ["a"]}, "command": ["true"]}


def template(folder: pathlib.Path, text: str) -> pathlib.Path:
    path = folder / "job.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", job_template.names(ROOT))
def test_the_templates_that_ship_are_valid(name: str) -> None:
    assert job_template.check(JOBS / f"{name}.yaml") == []


def test_there_are_the_demo_and_three_useful_ones() -> None:
    assert set(job_template.names(ROOT)) == {"mandelbrot", "resize", "pytest-matrix", "compress"}


def test_every_fault_is_named_with_its_line(tmp_path: pathlib.Path) -> None:
    path = template(
        tmp_path,
        "description: x\n"
        "items:\n"
        "  lines: []\n"
        "command: [echo, '${unknown}']\n"
        "attempts: 0\n"
        "env:\n"
        "  GAXX_NODE: mine\n"
        "colour: blue\n",
    )
    faults = [(fault.line, fault.text) for fault in job_template.check(path)]
    assert {line for line, _ in faults} == {1, 3, 5, 6}
    assert any("'colour' was unexpected" in text for _, text in faults)
    with pytest.raises(TemplateError, match=rf"{re.escape(str(path))}:5: attempts: 0 is less than"):
        job_template.load(path)


def test_an_unknown_parameter_in_a_string_is_a_fault_with_its_line(tmp_path: pathlib.Path) -> None:
    path = template(tmp_path, "description: x\nitems: {lines: [a]}\ncommand:\n  - echo\n  - ${size}\n")
    assert [(fault.line, fault.text) for fault in job_template.check(path)] == [
        (5, "command.1: ${size} is not among params")
    ]


@pytest.mark.parametrize("text", ["a: [", "{}", "- x", "description: \xff"])
def test_what_is_no_template_is_said(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(text.encode("latin-1"))
    assert job_template.check(path)


def test_parameters_are_filled_in_and_strange_ones_refused(tmp_path: pathlib.Path) -> None:
    path = template(
        tmp_path,
        "description: x\nparams: {size: 3, fast: true}\nitems: {lines: ['${size}']}\n"
        "command: [echo, '${size}x${fast}', '${GAXX_ITEM}']\n",
    )
    job = job_template.load(path, {"size": "9"})
    assert (job.options.argv, list(job.items())) == ((b"echo", b"9xtrue", b"${GAXX_ITEM}"), [b"9"])
    with pytest.raises(TemplateError, match="no parameter colour"):
        job_template.load(path, {"colour": "x"})


@pytest.mark.parametrize(
    ("items", "wanted"),
    [
        ({"lines": ["a", 2]}, [b"a", b"2"]),
        ({"matrix": {"x": ["a", "b"], "y": {"count": 2}}}, [b"a,0", b"a,1", b"b,0", b"b,1"]),
        ({"file": "list"}, [b"one", b"two"]),
        ({"glob": "sub/**/*.txt"}, [b"sub/a b.txt", b"sub/deep/c.txt"]),
    ],
)
def test_items_come_from_where_the_template_says(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, items: dict[str, object], wanted: list[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list").write_text("one\ntwo\n")
    (tmp_path / "sub/deep").mkdir(parents=True)
    for name in ("sub/a b.txt", "sub/deep/c.txt", "sub/other"):
        (tmp_path / name).touch()
    path = template(tmp_path, yaml.safe_dump({**MINIMAL, "items": items}))
    assert list(job_template.load(path).items()) == wanted


@pytest.mark.parametrize("files", [["../secret"], ["/etc/passwd"], ["missing"]])
def test_files_that_are_missing_or_elsewhere_are_refused(tmp_path: pathlib.Path, files: list[str]) -> None:
    path = template(tmp_path, yaml.safe_dump({**MINIMAL, "files": files}))
    with pytest.raises(GaxxError, match=files[0]):
        job_template.load(path)


def test_a_placeholder_in_a_templates_shell_script_is_refused_like_anywhere(tmp_path: pathlib.Path) -> None:
    path = template(tmp_path, yaml.safe_dump({**MINIMAL, "command": ["sh", "-c", "echo {}"]}))
    with pytest.raises(GaxxError, match="items are data") as caught:
        job_template.load(path)
    assert caught.value.exit_code == 2


def test_gaxx_check_names_a_templates_faults_like_a_compiler(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: gaxx\nruntime: python\n")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/broken.yaml").write_text("description: x\nitems: {lines: [a]}\ncommand: []\n")
    monkeypatch.chdir(tmp_path)
    faults = check.check_files(check.job_files(tmp_path), tmp_path)
    assert [str(fault) for fault in faults] == ["jobs/broken.yaml:3: command: [] should be non-empty"]


@pytest.fixture
def project(three: Fleet) -> Fleet:
    """The standing stack with our own jobs."""
    shutil.copytree(JOBS, three.root / "jobs", dirs_exist_ok=True)
    return three


@pytest.mark.engine
def test_a_dry_run_shows_the_split(project: Fleet) -> None:
    shown = project.gaxx("job", "mandelbrot", "--dry-run", "--json", "-p", "rows=2")
    split = json.loads(shown.stdout)
    assert (split["items"], len(split["nodes"]), round(sum(row["share"] for row in split["nodes"]))) == (32, 3, 32)
    assert split["first"][0][:3] == ["python3", "mandelbrot/tile.py", "--tile=0,0"]


@pytest.mark.engine
def test_jobs_are_listed_with_what_they_do(project: Fleet) -> None:
    listed = project.gaxx("job").stdout.decode()
    assert "mandelbrot" in listed
    assert "Resize images to a longest edge" in listed
    unknown = project.gaxx("job", "nothing")
    assert unknown.returncode == 1
    assert b"there are compress, mandelbrot, pytest-matrix, resize" in unknown.stderr


@pytest.mark.engine
def test_the_demo_renders_a_picture_and_says_which_node_did_what(project: Fleet, tmp_path: pathlib.Path) -> None:
    small = ["-p", "width=96", "-p", "height=54", "-p", "columns=4", "-p", "rows=3", "-p", "iterations=40"]
    done = project.gaxx("job", "mandelbrot", *small, "-o", str(tmp_path / "tiles"))
    assert done.returncode == 0, done.stderr
    sys.path.insert(0, str(JOBS / "mandelbrot"))
    try:
        import assemble  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    counts = assemble.assemble(tmp_path / "tiles", tmp_path / "picture.png")
    assert sum(counts.values()) == 12
    assert set(counts) <= set(project.machines)
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size == (96, 54 + assemble.CHART_HEIGHT)
        colours = picture.crop((0, 0, 96, 54)).getcolors(96 * 54)
    assert colours is not None
    assert len(colours) > 50


@pytest.mark.engine
def test_images_travel_to_the_nodes_and_come_back_smaller(project: Fleet, tmp_path: pathlib.Path) -> None:
    for number in range(4):
        Image.new("RGB", (400, 300), (50 * number, 0, 0)).save(project.root / f"photo {number}.jpg")
    # An interpreter that has Pillow: this machine's python3 need not.
    template_text = (JOBS / "resize.yaml").read_text().replace("[python3,", f"[{sys.executable},")
    (project.root / "jobs/resize-here.yaml").write_text(template_text)
    done = project.gaxx("job", "resize-here", "-p", "edge=100", "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    sizes = {}
    for path in (tmp_path / "out/small").iterdir():
        with Image.open(path) as image:
            sizes[path.name] = image.size
    assert sizes == {f"photo {number}.jpg": (100, 75) for number in range(4)}


@pytest.mark.engine
def test_a_tree_is_compressed_and_its_checksums_are_right(project: Fleet, tmp_path: pathlib.Path) -> None:
    tree = project.root / "tree"
    (tree / "deep").mkdir(parents=True, exist_ok=True)
    files = {"a": b"a" * 10_000, "deep/b c": b"b" * 100_000, "deep/-d": b""}
    for name, data in files.items():
        (tree / name).write_bytes(data)
    done = project.gaxx("job", "compress", "-p", "tree=tree", "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    for name, data in files.items():
        assert gzip.decompress((tmp_path / "out/tree" / f"{name}.gz").read_bytes()) == data
    assert len((tmp_path / "out/SHA256SUMS").read_text().splitlines()) == 3
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path / "out", check=True)


@pytest.mark.engine
def test_a_matrix_of_tests_brings_a_report_each(project: Fleet, tmp_path: pathlib.Path) -> None:
    text = (JOBS / "pytest-matrix.yaml").read_text()
    text = text.replace("[python3.11, python3.12, python3.13]", f"[{sys.executable}, no-such-python]")
    (project.root / "jobs/matrix.yaml").write_text(text)
    for suite, assertion in (("unit", "True"), ("integration", "False")):
        script = f'mkdir -p "$1" && echo "def test_it(): assert {assertion}" > "$1/test_it.py"'
        assert project.gaxx("run", "--", "sh", "-c", script, "sh", f"project/tests/{suite}").returncode == 0
    done = project.gaxx("job", "matrix", "--json", "-o", str(tmp_path / "out"))
    events = [json.loads(line) for line in done.stdout.splitlines()]
    said = "\n".join(event["stdout"] + event["stderr"] for event in events if event["event"] == "item")
    states = {event["item"]: (event["state"], event["exit"]) for event in events if event["event"] == "item"}
    assert states == {
        f"{sys.executable},tests/unit": ("ok", 0),
        f"{sys.executable},tests/integration": ("failed", 1),
        "no-such-python,tests/unit": ("failed", 127),
        "no-such-python,tests/integration": ("failed", 127),
    }, said
    assert (done.returncode, len(list((tmp_path / "out").glob("*/report.xml")))) == (3, 2)
