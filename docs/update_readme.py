"""Put the command line's own help texts into README.md, between `<!-- help: COMMAND -->` and `<!-- end -->`.

`python docs/update_readme.py` rewrites the file; with `--check` it only fails when the file has drifted.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from typer.testing import CliRunner

from limner.cli import app

README = Path(__file__).parent.parent / "README.md"
_BLOCK = re.compile(r"(<!-- help: (?P<command>[^>]*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(text: str) -> str:
    """The README's text with every help block as the command line would print it now."""
    return _BLOCK.sub(lambda block: f"{block[1]}```text\n{help_text(block['command'])}```\n{block[3]}", text)


def help_text(command: str) -> str:
    """What `limner COMMAND --help` prints."""
    verbs = command.split()[1:]
    environment = {"COLUMNS": "80", "NO_COLOR": "1"}
    result = CliRunner().invoke(app, [*verbs, "--help"], prog_name="limner", env=environment)
    return "\n".join(line.rstrip() for line in result.stdout.strip().splitlines()) + "\n"


def main() -> None:
    """Rewrite the README, or with `--check` exit with a message when that would change it."""
    text = README.read_text(encoding="utf-8")
    new = updated(text)
    if "--check" not in sys.argv:
        README.write_text(new, encoding="utf-8")
    elif new != text:
        sys.exit("README.md has drifted from the command line's help: run make docs")


if __name__ == "__main__":
    main()
