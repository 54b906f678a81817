"""What went wrong with reading sealed files: which of them, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router_lab.arrow import pa, pq
from router_lab.errors import LedgerError
from router_lab.ledger.disk.sealed_storage import Files


@dataclass(frozen=True, slots=True)
class SealedProblem:
    """What to raise, and whether a sealed file is not there, as happens when others replace files."""

    error: LedgerError
    is_missing: bool


def explain_sealed(error: Exception, files: Files, names: Sequence[str]) -> SealedProblem:
    """What went wrong with reading the sealed files `names`; libraries do not always say with which."""
    for name in names:
        try:
            pq.read_metadata(files.location(name), filesystem=files.filesystem)
        except FileNotFoundError:
            mend = "this sealed file is gone. Restore it from a backup"
            return SealedProblem(_sealed_error(files, name, mend), is_missing=True)
        except (OSError, pa.ArrowException) as found:
            mend = f"this sealed file cannot be read ({found}). Restore it from a backup"
            return SealedProblem(_sealed_error(files, name, mend), is_missing=False)
    for name in names:  # the footers are well, so it is in what they point to
        try:
            with files.filesystem.open_input_file(files.location(name)) as source:
                for _ in pq.ParquetFile(source).iter_batches():
                    pass
        except (OSError, pa.ArrowException) as found:
            mend = f"this sealed file is damaged ({found}). Restore it from a backup"
            return SealedProblem(_sealed_error(files, name, mend), is_missing=False)
    return SealedProblem(
        LedgerError(f"{files.shown}: sealed files cannot be read ({error})"), is_missing=False
    )


def _sealed_error(files: Files, name: str, mend: str) -> LedgerError:
    return LedgerError(
        f"{files.shown}/{name}: {mend}; `router-lab ledger verify` lists every missing or damaged file"
    )
