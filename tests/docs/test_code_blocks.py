"""Every code block of the README and the documentation is run.

A document is one test: its Python blocks run in order, share their names, and work in an empty directory. A block that
opens with `>>>` is a doctest. Functions a block names `test_…` are called, with pytest's fixtures as arguments. Blocks
may `await`: they then run on a loop of their own.

A block that cannot run has the reason on the line above it, and few may:

    <!-- not run: needs a gunicorn server -->
"""

import ast
import asyncio
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.evaluators.doctest import DocTestEvaluator
from sybil.evaluators.python import pad
from sybil.parsers.abstract.doctest import DocTestStringParser
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

# Shown to the reader, not executed; what a shell block promises has a test of its own.
NOT_CODE = {"console", "text", "toml", "ini", "json", "yaml", "sql", "html", "dockerfile"}
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>\S.{9,}) -->\n\Z")
MOST_NOT_RUN = 3

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n]*)\n.*?^(?P=indent)```$", re.MULTILINE | re.DOTALL)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_excused(text: str, block_start: int) -> bool:
    """Whether the line above a block gives the reason why it is not run."""
    line_start = text.rfind("\n", 0, block_start) + 1
    return NOT_RUN.search(text[:line_start]) is not None


def run_block(example: Example) -> None:
    """Execute a block, then call the tests it defines."""
    source = pad(example.parsed, example.line + example.parsed.line_offset)
    names = example.namespace
    before = dict(names)
    code = compile(source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    result = eval(code, names)
    if inspect.iscoroutine(result):
        asyncio.run(result)
    for name, value in list(names.items()):
        if name.startswith("test_") and before.get(name) is not value:
            call_test(value, names["fixture"])


def call_test(test: Callable[..., object], fixture: Callable[[str], object]) -> None:
    result = test(**{name: fixture(name) for name in inspect.signature(test).parameters})
    if inspect.iscoroutine(result):
        asyncio.run(result)


def parse_python(document: Document) -> Iterator[Region]:
    """A Python block is a program or a doctest."""
    doctests = DocTestStringParser(DocTestEvaluator())
    for region in CodeBlockParser("python", run_block)(document):
        if is_excused(document.text, region.start):
            continue
        source = region.parsed
        if source.startswith(">>>"):
            for part in doctests(source, document.path):
                part.adjust(region, source)
                yield part
        else:
            yield region


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_the_python_blocks_run(path, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    document = Sybil(parsers=[parse_python], path=str(ROOT)).parse(path)
    document.namespace.update(__name__="__main__", fixture=request.getfixturevalue)
    try:
        for example in document.examples():
            example.evaluate()
    finally:
        for value in document.namespace.values():
            if type(value).__module__.startswith("rota.") and callable(getattr(value, "shutdown", None)):
                value.shutdown(timeout=5)


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_block_names_its_language(path):
    unknown = [m["info"] for m in FENCE.finditer(path.read_text()) if m["info"] not in {"python", *NOT_CODE}]
    assert unknown == [], f"a fence is opened by exactly one of: python {' '.join(sorted(NOT_CODE))}"


def test_few_blocks_are_excused_from_running():
    excused = [
        f"{named(path)}:{text.count(chr(10), 0, match.start()) + 1}"
        for path in DOCUMENTS
        for text in [path.read_text()]
        for match in FENCE.finditer(text)
        if match["info"] == "python" and is_excused(text, match.start())
    ]
    assert len(excused) <= MOST_NOT_RUN, excused


def test_an_excuse_stands_right_above_a_python_block():
    for path in DOCUMENTS:
        text = path.read_text()
        excuses = len(re.findall(r"^ *<!-- not run", text, re.MULTILINE))
        heard = sum(is_excused(text, m.start()) for m in FENCE.finditer(text) if m["info"] == "python")
        assert heard == excuses, f"{named(path)}: `<!-- not run: reason -->` above a python block, reason included"
