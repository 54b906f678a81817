"""`router-lab notebooks copy DIR`, from a checkout and from an installed wheel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from router_lab.cli.command import main

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_copies_are_complete_and_edits_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notebooks", "copy", str(tmp_path / "trial")]) == 0
    copied = tmp_path / "trial" / "notebooks"
    assert sorted(path.name for path in copied.iterdir()) == NAMES
    assert (copied / "../config/demo.yaml").resolve().is_file()
    assert (copied / "../data/workload.jsonl").resolve().is_file()

    edited = copied / NAMES[0]
    edited.write_text("mine", "utf-8")
    (copied / NAMES[1]).unlink()
    assert main(["notebooks", "copy", str(tmp_path / "trial")]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert edited.read_text("utf-8") == "mine"
    assert not (copied / NAMES[1]).exists()

    assert main(["notebooks", "copy", str(tmp_path / "trial"), "--overwrite"]) == 0
    assert edited.read_bytes() == (ROOT / "notebooks" / NAMES[0]).read_bytes()


def test_a_folder_that_is_a_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("a file", "utf-8")
    assert main(["notebooks", "copy", str(tmp_path / "taken")]) == 2
    assert "taken" in capsys.readouterr().err


def test_an_installed_wheel_has_the_notebooks_too(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", tmp_path, ROOT], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with ZipFile(wheel) as files:
        files.extractall(installed)

    # From another folder and with the wheel's files first, so that the checkout is not found.
    run = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "from router_lab.cli.command import main\n"
        "sys.exit(main())"
    )
    copy = [sys.executable, "-c", run, "notebooks", "copy", "trial"]
    subprocess.run(copy, cwd=tmp_path, check=True, capture_output=True)
    assert sorted(path.name for path in (tmp_path / "trial" / "notebooks").iterdir()) == NAMES
    assert (tmp_path / "trial" / "config" / "router.yaml").is_file()
    assert (tmp_path / "trial" / "data" / "workload.jsonl").is_file()
