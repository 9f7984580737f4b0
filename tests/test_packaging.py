"""The package as others get it: wheel, editable install, source distribution; and which part imports which."""

from __future__ import annotations

import ast
import configparser
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.pages.source import FOLDERS, first_line, source

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "namedlayers"
PARTS = ["namedlayers", "grammar", "tests", "examples", "docs", ".ci"]
FILES = ["setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "constraints.txt"]

# Uses the grammar and the library, which are no Python files and so easily forgotten.
USE = """
import torch, namedlayers as nl
f = nl.compile("def f(X[a, b]) = softmax[b](X)")
assert torch.allclose(f(torch.ones(2, 4)), torch.full((2, 4), 0.25))
print(nl.__file__)
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that building leaves nothing in the real ones."""
    target = tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        shutil.copytree(ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, target / file)
    return target


@pytest.fixture(scope="module")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    archive = build("sdist", checkout, tmp_path_factory.mktemp("sdist"))
    target = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as file:
        file.extractall(target, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (folder,) = target.iterdir()
    return folder


def test_wheel_from_the_source_distribution_works_alone(sdist: Path, tmp_path: Path) -> None:
    installed = unzip(build("wheel", sdist, tmp_path), tmp_path / "installed")
    assert (installed / "namedlayers/grammar/namedlayers.lark").read_bytes() == grammar()
    assert [path.name.split("-")[0] for path in installed.iterdir()] == ["namedlayers", "namedlayers"]
    assert use(f"sys.path.insert(0, {str(installed)!r})") == installed / "namedlayers/__init__.py"


def test_wheel_holds_every_module_and_the_library(sdist: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(build("wheel", sdist, tmp_path)) as wheel:
        held = {name for name in wheel.namelist() if name.startswith("namedlayers/")}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.suffix in {".py", ".nl", ".typed", ".css", ".js"}
    }
    assert held == wanted | {"namedlayers/grammar/namedlayers.lark"}


def test_editable_install_works_from_the_checkout(checkout: Path, tmp_path: Path) -> None:
    installed = unzip(build("editable", checkout, tmp_path), tmp_path / "installed")
    assert use(f"site.addsitedir({str(installed)!r})") == checkout / "namedlayers/__init__.py"


def test_source_distribution_holds_what_tests_and_examples_need(sdist: Path) -> None:
    for part in PARTS:
        wanted = {path.relative_to(ROOT) for path in (ROOT / part).rglob("*") if path.is_file() and kept(path)}
        assert wanted <= {path.relative_to(sdist) for path in sdist.rglob("*")}, part
    assert all((sdist / file).is_file() for file in FILES)


def test_tested_versions_are_within_the_ranges() -> None:
    config = configparser.RawConfigParser()
    config.read(ROOT / "setup.cfg")
    lists = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    ranges = [Requirement(line) for text in lists for line in text.split("\n") if line]
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[canonicalize_name(name)] = version
    for wanted in ranges:
        # Each build of torch for CUDA asks for one version of triton, so that none may be fixed here.
        if wanted.name not in ("namedlayers", "triton"):
            assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), wanted


def test_readme_has_the_two_commands() -> None:
    commands = re.findall(r"^ {4}(pip install .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [command.split(" && ")[1].split(" -")[0] for command in commands] == [
        "python examples/digits.py",
        "python",
    ]
    assert all(command.startswith("pip install -c constraints.txt -e ") for command in commands)


# A part imports only from parts of a lower rank. The reference interpreter shares nothing with what it judges.
RANK = {
    "lookalikes": 0,
    "errors": 1,
    "codes": 1,
    "files": 2,
    "syntax": 3,
    "program": 4,
    "plan": 5,
    "reference": 5,
    "emit": 6,
    "inspect": 7,
    "call": 8,
    "weights": 9,
    "api": 10,
    "cli": 11,
}

# So do the folders of `emit` and those of the rules; what is at their top they all share.
IN_FOLDERS = {
    "emit": ("kernels", "log_products", "emitters", "loops", "budget"),
    "plan/rules": (
        "arithmetic", "contractions", "windows", "normalising", "losses", "reading", "places", "joining",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("parent", "folder"), [(parent, one) for parent, all_ in IN_FOLDERS.items() for one in all_])
def test_imports_of_folders_run_one_way(parent: str, folder: str) -> None:
    later = IN_FOLDERS[parent][IN_FOLDERS[parent].index(folder) + 1 :]
    texts = [path.read_text(encoding="utf-8") for path in (PACKAGE / parent / folder).glob("*.py")]
    assert texts
    where = f"namedlayers.{parent.replace('/', '.')}"
    assert not [text for text in texts for other in later if f"{where}.{other}" in text]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_one_way(path: Path) -> None:
    part = path.relative_to(PACKAGE).with_suffix("").parts[0]
    imported = imports(path) - {part}
    assert {other for other in imported if RANK.get(other, -1) >= RANK.get(part, len(RANK))} == set()
    # Only the generator of random numbers is torch's: a seed rules both.
    assert not (part == "reference" and "torch" in imported and path.stem != "drawing")


def imports(path: Path) -> set[str]:
    """The packages that a file imports: parts of this one by their own name, others by theirs."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module == "namedlayers":
            names = [f"namedlayers.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found |= {name.removeprefix("namedlayers.").split(".")[0] for name in names}
    return found


def build(kind: str, sources: Path, target: Path) -> Path:
    """Builds with the setuptools at hand: no network, no isolation."""
    code = f"import setuptools.build_meta as b; print(b.build_{kind}({str(target)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=sources, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


def unzip(wheel: Path, target: Path) -> Path:
    with zipfile.ZipFile(wheel) as file:
        file.extractall(target)
    return target


def use(find: str) -> Path:
    """Where namedlayers was found by a Python that has its dependencies, but no installation of it except by `find`."""
    dependencies = [path for path in sys.path if path.endswith("-packages")]
    code = f"import site, sys\n{find}\nsys.path += {dependencies!r}\n{USE}"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def grammar() -> bytes:
    return (ROOT / "grammar/namedlayers.lark").read_bytes()


def kept(path: Path) -> bool:
    return "__pycache__" not in path.parts and path.suffix != ".pyc"


def test_the_map_of_the_source_has_every_module() -> None:
    """Each with the sentence that its docstring begins with."""
    shown = source()
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert folders == {PACKAGE / folder for folder in FOLDERS}
    for path in PACKAGE.rglob("*.py"):
        assert f"  {path.name:24} {first_line(path)}" in shown.splitlines()
        assert len(first_line(path)) > len("A module."), path
