"""The part of docs/conformance.md that lists every check, made from a run against the reference server.

`.venv/bin/python -m tests.unit.conformance.documented` writes it anew; a test holds the page to it.
"""

import subprocess
import tempfile
from pathlib import Path

from gongfang.conformance import ALL, Report, key_of
from gongfang.conformance.clauses import Clause
from tests.unit.conformance.conftest import bare_repository, tried
from tests.unit.conformance.reference import serving

PAGE = Path(__file__).parents[3] / "docs" / "conformance.md"
BEGIN, END = "<!-- checks: begin (written by tests/unit/conformance/documented.py) -->", "<!-- checks: end -->"
REFUSED = "bad input is refused: "


def listed(report: Report) -> str:
    """Every check of a run, as Markdown."""
    results = {result.key: result for result in report.results}
    lines: list[str] = []
    for item in ALL:
        result = results[key_of(item)]
        where = f": `{item.method} {item.path}`" if isinstance(item, Clause) else ""
        lines += [f"### {result.key} {item.chinese} {item.english}{where}", "", f"{item.basis.english}.", ""]
        names = [check.name.english for check in result.checks]
        refused = [name.removeprefix(REFUSED) for name in names if name.startswith(REFUSED)]
        if refused:
            lines.append(f"- Refused: {'; '.join(refused)}.")
        if result.key == "coverage":
            names = ["each clause that the server has is marked, with its method and path, and no other is"]
        lines += [f"- {name[0].upper()}{name[1:]}." for name in names if not name.startswith(REFUSED)]
        lines.append("")
    return "\n".join(lines)


def page(text: str, checks: str) -> str:
    """The page with its list replaced."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{checks}\n{END}{after}"


def main() -> None:
    with tempfile.TemporaryDirectory() as place, serving(bare_repository(Path(place))) as reference:
        PAGE.write_text(page(PAGE.read_text("utf-8"), listed(tried(reference))), "utf-8")
    subprocess.run(["git", "diff", "--stat", "--", str(PAGE)], check=False)


if __name__ == "__main__":
    main()
