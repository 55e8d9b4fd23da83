"""What is built is what a user gets: sdist and wheel install and import anywhere, and say what is missing."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def run(*words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, env=clean | environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, REPOSITORY, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that sees the installed dependencies but no mixlaw: it follows no editable install."""
    folder = tmp_path_factory.mktemp("a venv")
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("platlib") + "\n")
    return folder / "bin" / "python"


def test_the_wheel_holds_the_core_the_kernels_and_the_type_information(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"mixlaw/py.typed", "mixlaw/_core.pyi", "mixlaw/kernels/__init__.py"} <= set(names)
    assert [name for name in names if name.startswith("mixlaw/_core.") and name.endswith(".so")]
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mixlaw"}


def test_the_sdist_holds_the_sources_and_no_build_products(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"pyproject.toml", "CMakeLists.txt", "LICENSE", "README.md", "kernels/__init__.py"} <= names
    assert not [
        name for name in names if name.startswith((".venv", "build/", "dist/")) or name.endswith((".so", ".pyc"))
    ]


def test_the_wheel_works_outside_the_checkout(built: Path, bare_python: Path, tmp_path: Path) -> None:
    [wheel] = built.glob("*.whl")
    installed = tmp_path / "installed here"
    done = run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        installed,
        wheel,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    program = (
        "import mixlaw, mixlaw.kernels, numpy as np; print(mixlaw.__file__);"
        "print(mixlaw.entropies(np.array([0, 1, 0, 1], np.uint8), 2).shannon)"
    )
    done = run(bare_python, "-W", "error", "-c", program, cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stderr
    where, entropy = done.stdout.split("\n")[:2]
    assert Path(where).is_relative_to(installed)
    assert float(entropy) == pytest.approx(0.6931471805599453, rel=1e-15)
    done = run(bare_python, "-m", "mixlaw", "--version", cwd=tmp_path, PYTHONPATH=str(installed))
    assert (done.returncode, done.stdout) == (0, "mixlaw, version 0.1.0\n")


def test_a_plain_checkout_has_everything_but_the_core_and_says_so(bare_python: Path, tmp_path: Path) -> None:
    checkout = str(REPOSITORY / "python")
    done = run(bare_python, "-c", "import mixlaw.kernels; print('imported')", cwd=tmp_path, PYTHONPATH=checkout)
    assert done.stdout == "imported\n", done.stderr
    for needs_core in ("import mixlaw; mixlaw.NgramCounter(4)", "import mixlaw; mixlaw.load_corpus('corpus.yaml')"):
        done = run(bare_python, "-c", needs_core, cwd=tmp_path, PYTHONPATH=checkout)
        assert done.returncode == 1
        assert "pip install" in done.stderr
        assert "MissingDependencyError" in done.stderr


def test_a_missing_extra_names_itself(tmp_path: Path) -> None:
    blocked = tmp_path / "torch.py"
    blocked.write_text("raise ImportError('no torch here')\n")
    program = "import mixlaw; mixlaw.kernels"
    done = run(sys.executable, "-c", program, cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{REPOSITORY / 'python'}")
    assert done.returncode == 1
    assert "pip install 'mixlaw[kernels]'" in done.stderr.splitlines()[-1]
