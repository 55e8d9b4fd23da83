"""The house has floors: nouns know no room, rooms know only the rooms on the list, and importing stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mixlaw

PACKAGE = Path(mixlaw.__file__).parent
NOUNS = {
    "errors",
    "files",
    "sheet",
    "mixture",
    "runs",
    "run_checks",
    "run_formats",
    "entropy_table",
    "entropy_formats",
    "entropy_ranking",
    "entropy_text",
    "proxy_mixture",
    "corpus",
    "fitted",
    "hull",
    "layout",
    "vne_table",
    "weights",
}
# Room -> the rooms that it may import. To add an edge is to change this list, with a line in docs/DECISIONS.md.
ROOMS = {
    "reading": set(),
    "entropy": set(),
    "laws": set(),
    "optimum": {"laws"},
    "design": {"laws", "optimum"},
    "train": {"reading"},
    "engine": {"reading", "entropy"},
    "kernels": set(),
}
NATIVE = {"_core", "compiled"}
TOP = {"cli": set(ROOMS), "__main__": {"cli"}, "compiled": NATIVE}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py") + sorted(
        (PACKAGE / "kernels").glob("*.py")
    )


def part(path: Path) -> str:
    """First component below the package: a noun, a room, `cli` or `__main__`."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_parts(path: Path) -> set[str]:
    """Parts of mixlaw that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write it out"
            if node.module == "mixlaw":
                found.update(alias.name for alias in node.names)
            elif node.module and node.module.startswith("mixlaw."):
                found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found.update(alias.name.split(".")[1] for alias in node.names if alias.name.startswith("mixlaw."))
    return found


def third_party(path: Path) -> set[str]:
    """Packages outside mixlaw and the standard library that a file imports at module level."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return {name for name in found if name not in sys.stdlib_module_names and name != "mixlaw"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_the_list_allows(path: Path) -> None:
    here = part(path)
    if here in NOUNS:
        allowed = set(NOUNS)
        assert third_party(path) <= {"numpy"}
    elif here in ROOMS:
        allowed = NOUNS | NATIVE | {"kernels", here} | ROOMS[here]
    else:
        allowed = NOUNS | {here} | TOP[here]
    assert imported_parts(path) <= allowed


def test_every_part_of_the_package_is_on_the_list() -> None:
    assert {part(path) for path in modules()} == NOUNS | set(ROOMS) | set(TOP)


def test_the_command_line_imports_a_command_only_when_it_is_used() -> None:
    loaded = loaded_by("import mixlaw.cli.main")
    assert not {name for name in loaded if name.startswith("mixlaw.")} - {
        "mixlaw.cli",
        "mixlaw.cli.main",
        "mixlaw.errors",
    }


def test_importing_the_package_loads_no_heavy_library() -> None:
    third = {name.split(".")[0] for name in loaded_by("import mixlaw")} - set(sys.stdlib_module_names)
    assert third & {"scipy", "torch", "triton", "datasets", "tokenizers", "click", "matplotlib", "pandas"} == set()
    assert "mixlaw._core" not in loaded_by("import mixlaw")


def loaded_by(statement: str) -> set[str]:
    before = "import sys; before = set(sys.modules)\n"
    after = "\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", before + statement + after], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", sorted(mixlaw._PUBLIC))
def test_a_public_name_means_the_same_on_every_access(name: str) -> None:
    first = getattr(mixlaw, name)
    assert getattr(mixlaw, name) is first
    assert name in dir(mixlaw)


def test_no_public_function_bears_the_name_of_a_module() -> None:
    assert not set(mixlaw._PUBLIC) & (NOUNS | set(ROOMS) | set(TOP))


def test_type_checkers_see_the_same_public_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == mixlaw._PUBLIC


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'optimise'"):
        mixlaw.optimise  # noqa: B018 - the access is the test


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert mixlaw.__version__ == version("mixlaw")
