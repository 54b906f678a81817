"""Fail when a Markdown file or notebook points at a file of the project that is not there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")


def main() -> int:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md", "*.ipynb"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    dead = [
        f"{name}: {target}"
        for name in listed
        for target in LINK.findall((ROOT / name).read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target) and not ((ROOT / name).parent / target).exists()
    ]
    print("\n".join(f"dead link in {line}" for line in dead) or f"no dead links in {len(listed)} files")
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
