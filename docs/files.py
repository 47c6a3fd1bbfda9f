"""Prints the map of the source files: the first sentence of each file's header. `make documents` writes docs/files.md with it."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parent.parent
FOLDERS = [
    ".", "app", "api", "reconcile", "clients", "store", "simulation", "model", "config", "hdag", "optimizer", "cli"
]


def header(path: pathlib.Path) -> str:
    """The first sentence of the comment with which a file begins."""
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("//!") or line == "//!":
            break
        lines.append(line.removeprefix("//!").strip())
    text = " ".join(lines)
    return re.split(r"(?<=\.)\s", text + " ", maxsplit=1)[0].rstrip(".").replace("|", "\\|")


def main() -> None:
    out = sys.stdout
    out.write("# Source files\n\n<!-- Printed by docs/files.py from the files' headers; `make documents` writes it. -->\n")
    for folder in FOLDERS:
        top = ROOT / "src" / folder
        title = "src/" if folder == "." else f"src/{folder}/"
        out.write(f"\n## `{title}`\n\n| file | holds |\n|---|---|\n")
        for path in sorted(top.glob("*.rs") if folder == "." else top.rglob("*.rs")):
            name = path.relative_to(top).as_posix()
            if "tests" in name:
                continue
            out.write(f"| `{name}` | {header(path)} |\n")


if __name__ == "__main__":
    main()
