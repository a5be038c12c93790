"""What the pages need to know of the code as text: every module parsed, and tables in Markdown."""

import ast
import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import bursar


def import_everything() -> None:
    """Import every module, so that every subclass is known."""
    for module in pkgutil.walk_packages(bursar.__path__, "bursar."):
        importlib.import_module(module.name)


@cache
def trees() -> dict[str, ast.Module]:
    """Every module's syntax tree, by the module's name, sorted."""
    root = Path(bursar.__file__).parent
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions of a module, those of its classes left out."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def first_sentence(text: str | None) -> str:
    """The first paragraph's first sentence, as one line."""
    paragraph = " ".join((text or "").strip().partition("\n\n")[0].split())
    return paragraph.partition(". ")[0].rstrip(".")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def code(text: str) -> str:
    """`text` as code; nothing where there is none."""
    return f"`{text}`" if text else ""
