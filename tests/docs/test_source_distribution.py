"""Who works from the source distribution has all that the checks and CONTRIBUTING name."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def named_folders() -> set[str]:
    """The folders of the project that noxfile or CONTRIBUTING speak of, but for those that git ignores."""
    text = (ROOT / "noxfile.py").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()} - ignored - {".git"}
    return {name for name in folders if re.search(rf"(?<![\w./]){re.escape(name)}\b", text)}


def test_what_contributors_are_told_to_run_is_in_the_source_distribution():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    included = {name.strip("/") for name in tool["hatch"]["build"]["targets"]["sdist"]["include"]}
    assert named_folders() >= {".ci", "benchmarks", "docs", "src", "tests"}
    assert named_folders() - included == set()
