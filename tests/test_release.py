"""What is looked at before a release: a wheel or an sdist that lacks something, or has too much, is told."""

from __future__ import annotations

import importlib.util
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

PLACE = Path(__file__).parent.parent / ".ci" / "check_release.py"
WHEEL = "mockselector-1.0.0-py3-none-any.whl"


@pytest.fixture
def release() -> Any:  # Any: it is no module that could be imported by name
    spec = importlib.util.spec_from_file_location("check_release", PLACE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wheel(folder: Path, **more: str) -> Path:
    folder.mkdir()
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        for name, text in {"mockselector/py.typed": "", **more}.items():
            archive.writestr(name, text)
    return folder / WHEEL


def tree(folder: Path, release: Any) -> Path:
    """A folder with what an sdist should have."""
    for name in (*release.FILES, *(f"{name}/some.py" for name in release.FOLDERS)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return folder


def test_two_wheels_with_the_same_files_are_the_same(release: Any, tmp_path: Path) -> None:
    release.same(wheel(tmp_path / "one"), wheel(tmp_path / "other"))


def test_files_that_differ_are_told(release: Any, tmp_path: Path) -> None:
    one = wheel(tmp_path / "one", **{"mockselector/a.py": "1", "mockselector/b.py": "2"})
    other = wheel(tmp_path / "other", **{"mockselector/a.py": "1", "mockselector/b.py": "3"})
    with pytest.raises(SystemExit, match=r"differ: mockselector/b\.py$"):
        release.same(one, other)


def test_a_file_that_is_not_the_packages_is_told(release: Any, tmp_path: Path) -> None:
    tests = {"tests/test_a.py": ""}
    with pytest.raises(SystemExit, match=r"^the wheel has what is not the package's: tests/test_a\.py$"):
        release.same(wheel(tmp_path / "one", **tests), wheel(tmp_path / "other", **tests))


def test_an_sdist_that_lacks_something_is_told(release: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "ROOT", tmp_path)  # which is no repository
    release.is_whole(tree(tmp_path, release))
    (tmp_path / "stubs" / "some.py").unlink()
    (tmp_path / "AUTHORS.md").unlink()
    with pytest.raises(SystemExit, match=r"^the sdist lacks AUTHORS\.md, stubs/$"):
        release.is_whole(tmp_path)


def test_an_sdist_is_unpacked_without_its_name(release: Any, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "some.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("mockselector-1.0.0/README.md"), io.BytesIO())
    assert (release.unpacked(tmp_path / "some.tar.gz", tmp_path) / "README.md").parent == tmp_path / "elsewhere"


def test_a_folder_with_two_wheels_is_told(release: Any, tmp_path: Path) -> None:
    for name in ("a.whl", "b.whl"):
        (tmp_path / name).touch()
    with pytest.raises(SystemExit, match=r"should hold one \*\.whl, and has 2$"):
        release.only(tmp_path, "*.whl")


@pytest.mark.parametrize("name", ["cases", "rules"])
def test_a_test_that_needs_no_other_package_is_there(name: str, release: Any) -> None:
    assert name in release.TESTS
    assert (Path(__file__).parent / f"test_{name}.py").exists()
