"""What is written for people is there whole or not at all: else the old file stays and the error is ours."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from textwrap import dedent
from types import FrameType

import pandas as pd
import pytest
from ledger_rows import make_call, pair

import router_lab as rl
from router_lab import private_files
from router_lab.analysis.plots.plot import Plot, canvas
from router_lab.cli.command import main
from router_lab.errors import RouterLabError
from router_lab.private_files import whole_file
from router_lab.replay.bundle import bundle_file

Write = Callable[[Path, Path], object]
OLD = "what was there before"


def reported(ledger: Path, path: Path) -> object:
    return report_of(ledger).write(path)


@cache
def report_of(ledger: Path) -> rl.analysis.Report:
    return rl.analysis.report(str(ledger), pictures=False)


def exported(ledger: Path, path: Path) -> object:
    with rl.Ledger(ledger) as opened:
        return opened.export(path)


def drawn(ledger: Path, path: Path) -> object:
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    return Plot("name", "numbers", frame, canvas(None)).save(path)


def compared(ledger: Path, path: Path) -> object:
    return commanded("compare", "--again", "--comparator", "exact", "--ledger", ledger, "--out", path)


def commanded(*words: object) -> None:
    """Raises the error's own line as ours, as the commands print it."""
    code = main([str(word) for word in words])
    if code:
        raise RouterLabError(f"exit code {code}")


def copied(ledger: Path, path: Path) -> object:
    """The first of many files; none of the others may be there either."""
    commanded("notebooks", "copy", path.parents[1], "--overwrite")
    return path


def frozen(ledger: Path, path: Path) -> object:
    with bundle_file(path) as file:
        return file


WRITERS: dict[str, Write] = {
    "report.html": reported,
    "report.json": reported,
    "rows.csv": exported,
    "rows.jsonl": exported,
    "rows.parquet": exported,
    "picture.png": drawn,
    "picture.svg": drawn,
    "picture.pdf": drawn,
    "again.csv": compared,
    "again.parquet": compared,
    "bundle.parquet": frozen,
    "config/router.yaml": copied,
}
each_writer = pytest.mark.parametrize("name", WRITERS)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "ledger"

    async def work() -> None:
        with rl.Ledger(folder) as opened:
            await make_call(opened, prompt="p" * 5_000)
            await opened.accounts.record_comparison(pair())

    asyncio.run(work())
    return folder


def mounted(folder: Path, options: str) -> bool:
    folder.mkdir(exist_ok=True)
    try:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of our own, 8 MB; half of the tests fill it, the others close it to writing."""
    folder = tmp_path / "disk"
    if not mounted(folder, "size=8m"):
        pytest.skip("a file system can be mounted by root only; RLIMIT_FSIZE is tried by another test")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    with pytest.raises(OSError, match="No space left"), (folder / "ballast").open("wb", buffering=0) as file:
        while file.write(bytes(1 << 16)):
            pass


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.few(8)
@each_writer
@pytest.mark.parametrize("is_there", [False, True], ids=["new", "old"])
def test_a_full_disk_takes_all_or_nothing(ledger: Path, disk: Path, name: str, is_there: bool) -> None:
    path = disk / name
    path.parent.mkdir(exist_ok=True)
    if is_there:
        path.write_text(OLD)
    fill(disk)
    before = files(disk)
    with pytest.raises(RouterLabError):
        WRITERS[name](ledger, path)
    assert files(disk) == before
    (disk / "ballast").unlink()
    WRITERS[name](ledger, path)
    assert path.stat().st_size > 0 and path.read_bytes() != OLD.encode()
    assert not list(disk.rglob(".*"))


@each_writer
def test_a_disk_that_only_can_be_read_is_named(ledger: Path, disk: Path, name: str) -> None:
    path = disk / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(OLD)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(RouterLabError):
        WRITERS[name](ledger, path)
    assert files(disk) == {str(path): OLD.encode()}


def test_files_that_may_not_grow_are_not_cut_off(ledger: Path, tmp_path: Path) -> None:
    """The kernel takes the first bytes and refuses the others, with RLIMIT_FSIZE; for no disk is at hand."""
    script = """
        import resource, signal, sys
        from pathlib import Path
        from router_lab.errors import RouterLabError
        from test_whole_files import OLD, WRITERS

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        ledger, folder = Path(sys.argv[2]), Path(sys.argv[1])
        for name, write in WRITERS.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(OLD)
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
            try:
                write(ledger, path)
                print(name, "was written")
            except RouterLabError:
                pass
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            if path.read_text() != OLD:
                print(name, "was changed")
        print("left", sorted(path.name for path in folder.rglob(".*")))
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(script), tmp_path, ledger],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == ["left []"], done.stderr


def test_a_device_takes_what_comes(ledger: Path, tmp_path: Path) -> None:
    """Regression: a file took the place of the device, where root wrote."""
    read, write = os.pipe()
    found: list[bytes] = []

    def take() -> None:
        with os.fdopen(read, "rb") as file:
            found.append(file.read())

    reader = threading.Thread(target=take)
    reader.start()
    try:
        report_of(ledger).write(f"/dev/fd/{write}", "json")
    finally:
        os.close(write)
        reader.join()
    assert found[0].startswith(b"{") and found[0].endswith(b"}")
    link = tmp_path / "full.html"
    link.symlink_to("/dev/full")
    with pytest.raises(rl.ConfigError, match=r"full\.html: the report cannot be written .*No space"):
        report_of(ledger).write(link)
    assert link.is_symlink() and Path("/dev/full").is_char_device()


def test_a_full_output_is_one_line(ledger: Path) -> None:
    run = "import sys; from router_lab.cli import main; sys.exit(main())"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", run, "providers"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 3
    assert done.stderr.decode() == "router-lab: [Errno 28] No space left on device\n"


def test_a_link_leads_on_and_modes_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text(OLD)
    real.chmod(0o640)
    link.symlink_to("real.txt")
    with whole_file(link) as partial:
        partial.write_text("new")
    assert link.is_symlink() and real.read_text() == "new" and real.stat().st_mode & 0o777 == 0o640
    real.unlink()
    with whole_file(link) as partial:
        partial.write_text("again")
    assert real.read_text() == "again" and real.stat().st_mode & 0o777 == 0o600


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("\N{SNOWMAN}" * 85)
    with whole_file(path) as partial:
        partial.write_text("new")
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_two_that_write_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with whole_file(path) as first:
        first.write_text("first")
        with whole_file(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it may come before a close
def test_ctrl_c_leaves_nothing_wherever_it_comes(tmp_path: Path) -> None:
    """Regression: between the making of a partial file and the block it is written in, that stayed."""
    path = tmp_path / "file.txt"
    for line in count(1):
        path.write_text(OLD)
        if written_until(path, line):
            break
        assert path.read_text() in (OLD, "new") and list(tmp_path.iterdir()) == [path], line
    assert line > 20


def written_until(path: Path, last: int) -> bool:
    """Whether the file was written before the module of whole files came to that many lines."""
    lines = count(1)

    def interrupt(frame: FrameType, event: str, _: object) -> object:
        if frame.f_code.co_filename == private_files.__file__ and event == "line" and next(lines) == last:
            raise KeyboardInterrupt
        return interrupt

    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        with whole_file(path) as partial:
            partial.write_text("new")
    except KeyboardInterrupt:
        return False
    finally:
        sys.settrace(before)
    return True


KILLED = """
import os, signal, sys
from pathlib import Path
from router_lab.private_files import whole_file
with whole_file(Path(sys.argv[1])) as partial:
    partial.write_text("half" * 1000)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text(OLD)
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, path])
        assert path.read_text() == OLD and len(list(tmp_path.iterdir())) == 2
    with whole_file(path) as partial:
        assert partial.read_text() == ""
        partial.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
