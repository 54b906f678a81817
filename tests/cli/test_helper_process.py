"""The process beside a command's own: what it does, and that its end is nobody's loss."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kinds import kept
from router_lab.cli.helper_process import HelperProcess
from router_lab.ledger import Ledger
from waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="helps on Linux only")


def _where() -> int:
    return os.getpid()


def _dies_unless_in(process: int) -> int:
    if os.getpid() != process:
        os._exit(1)
    return os.getpid()


def test_it_works_in_another_process() -> None:
    with HelperProcess() as helper:
        first, second = helper.submit(_where), helper.submit(max, 1, 2, key=lambda one: -one)
        assert first.result() != os.getpid()
        assert second.result() == 1  # a lambda cannot be sent there, so it is done here


def test_an_error_is_the_callers() -> None:
    with HelperProcess() as helper, pytest.raises(ZeroDivisionError):
        helper.submit(divmod, 1, 0).result()


def test_what_it_dies_of_is_done_here() -> None:
    here = os.getpid()
    with HelperProcess() as helper:
        assert helper.submit(_dies_unless_in, here).result() == here
        assert helper.submit(_where).result() == here


def test_an_error_is_not_kept_waiting_by_what_was_not_begun() -> None:
    end, go_on = os.pipe()
    with pytest.raises(KeyError), HelperProcess() as helper:
        helper.submit(os.read, end, 1)
        waits = helper.submit(_where)
        waits.add_done_callback(lambda _: os.write(go_on, b"."))
        raise KeyError
    assert waits.cancelled()
    os.close(end)
    os.close(go_on)


def test_where_the_system_gives_no_process_there_is_none() -> None:
    """In a process of its own: where there are other threads, as between these tests, none is asked for."""
    script = (
        "import os\nfrom router_lab.cli.helper_process import helper_process\n"
        "def refuse():\n    print('refused')\n    raise BlockingIOError('no process to be had')\n"
        "os.fork = refuse\nwith helper_process() as helper:\n    print(helper)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    is_asked = len(os.sched_getaffinity(0)) > 1
    assert done.stdout.split() == [*(["refused"] if is_asked else []), "None"], done.stderr


def test_it_ends_with_its_parent() -> None:
    """A parent that is killed closes nothing by itself."""
    script = (
        "import os, signal; from router_lab.cli.helper_process import HelperProcess; "
        "print(HelperProcess().submit(os.getpid).result(), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    child = int(done.stdout)
    assert child > 0
    wait_until(lambda: not Path(f"/proc/{child}").exists() or "zombie" in _status(child))


def _status(process: int) -> str:
    try:
        return Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return "zombie"


# In a process with threads, as that of the other tests of a report, there is no helper either.
@pytest.mark.parametrize("processors", kept(["one", "all"], "all"))
def test_a_report_is_drawn_beside_where_there_is_a_processor_for_it(tmp_path: Path, processors: str) -> None:
    if processors == "all" and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("one processor")
    with Ledger(tmp_path / "ledger") as made:
        made.switch.off(reason="nothing yet")
    target = tmp_path / "report.html"
    script = (
        "import os, sys; from router_lab.cli.command import main; "
        f"os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}}) if {processors == 'one'} else None; "
        f"status = main(['report', '--ledger', {str(tmp_path / 'ledger')!r}, '--out', {str(target)!r}]); "
        "sys.exit(status or 10 + ('matplotlib' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], check=False, capture_output=True)
    assert done.returncode == (11 if processors == "one" else 10), done.stderr
    # Matplotlib tells where it keeps fonts without a home, and of its first start.
    assert not [line for line in done.stderr.splitlines() if b"matplotlib" not in line.lower()]
    assert target.read_text(encoding="utf-8").count("<svg") == 3
