"""Which rows are old, and what of them is replaced by hashes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from router_lab.arrow import pa, pc
from router_lab.ledger.content import hashed, without_texts
from router_lab.ledger.disk.sealed_storage import Files
from router_lab.ledger.schema import ATTEMPTS, COMPARISONS, SCORES, Table, json_text
from router_lab.ledger.sealed.sealed_files import date_of, row_groups


class Redaction:
    """Redacts what was said before a time. A score is of answers, so it is as old as they are."""

    def __init__(self, files: Files, before: datetime) -> None:
        self._last_date = before.date().isoformat()
        self._before = pa.scalar(before, pa.timestamp("us", tz="UTC"))
        self._files = files
        self._scored_since: dict[str, Any] | None = None

    def concerns(self, table: Table, date: str) -> bool:
        """Whether a file of that day may have texts that are old."""
        return table is SCORES or (bool(_text_columns(table)) and date <= self._last_date)

    def changed(self, table: Table, data: Any) -> tuple[Any, int]:
        """`data` with old texts hashed, and how many rows that changed."""
        old = self._is_old(table, data).to_pylist()
        changed = [False] * data.num_rows
        for name in _text_columns(table):
            values = data[name].to_pylist()
            for row, (value, is_old) in enumerate(zip(values, old, strict=True)):
                if is_old and value:
                    values[row] = _redacted_details(value) if name == "details" else hashed(value)
                    changed[row] |= values[row] != value
            place = data.schema.get_field_index(name)
            data = data.set_column(place, data.schema.field(name), pa.array(values, pa.string()))
        return data, sum(changed)

    def _is_old(self, table: Table, data: Any) -> Any:
        is_old = pc.less(data[table.time], self._before)
        if table is not SCORES:
            return is_old
        since = self._scored()
        is_of_new = pc.or_(
            pc.is_in(data["comparison_id"], value_set=since["comparison_id"]),
            pc.is_in(data["attempt_id"], value_set=since["attempt_id"]),
        )
        return pc.or_(is_old, pc.invert(is_of_new))

    def _scored(self) -> dict[str, Any]:
        """The ids of pairs and attempts that were scored and are not old. Those in no file were pruned."""
        if self._scored_since is None:
            self._scored_since = {
                "comparison_id": self._new_ids(COMPARISONS, "comparison_id"),
                "attempt_id": self._new_ids(ATTEMPTS, "attempt_id"),
            }
        return self._scored_since

    def _new_ids(self, table: Table, key: str) -> Any:
        scored = [
            part[key].drop_null()
            for name in self._files.names(SCORES.name)
            for part in row_groups(self._files, SCORES, name, [key])
        ]
        asked = pa.chunked_array([chunk for ids in scored for chunk in ids.chunks], pa.string())
        found = []
        if len(asked):
            recent = [name for name in self._files.names(table.name) if date_of(name) >= self._last_date]
            for name in recent:
                for part in row_groups(self._files, table, name, [key, table.time]):
                    wanted = pc.is_in(part[key], value_set=asked)
                    new = pc.greater_equal(part[table.time], self._before)
                    found += part.filter(pc.and_(wanted, new))[key].chunks
        return pa.chunked_array(found, pa.string())


def _text_columns(table: Table) -> tuple[str, ...]:
    if table is SCORES:
        return ("note", *table.content)
    return (*table.content, "details") if table is COMPARISONS else table.content


def _redacted_details(text: str) -> str | None:
    try:
        details = json.loads(text)
    except ValueError:
        return hashed(text)
    return json_text(without_texts(details, "hash")) if isinstance(details, dict) else hashed(text)
