"""The house rules, held to the code: each test is one rule, and says where it is broken and what to do instead.

The rules read the code as text; only errors, events and settings are asked of the code itself.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from bursar import settings, wiring
from bursar.cli.docs import FOLDER, errors

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = ROOT / "src" / "bursar"

FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 60

FORBIDDEN: Final[dict[str, tuple[str, str]]] = {
    # what: (where it may stand, what to use instead)
    "datetime.now": ("kit/clock.py", "the clock of the app, or the `now` that was passed down"),
    "datetime.today": ("kit/clock.py", "the clock of the app"),
    "datetime.utcnow": ("kit/clock.py", "the clock of the app"),
    "date.today": ("kit/clock.py", "the clock of the app"),
    "time.time": ("kit/clock.py", "the clock of the app; time.monotonic and time.perf_counter for durations"),
    "time.time_ns": ("kit/clock.py", "the clock of the app"),
    "uuid.uuid4": ("kit/ids.py", "ids.new"),
    "uuid4": ("kit/ids.py", "ids.new"),
    "uuid.uuid1": ("kit/ids.py", "ids.new"),
    "os.environ": ("settings.py", "a setting"),
    "os.getenv": ("settings.py", "a setting"),
    "print": ("cli/", "the log; only commands print"),
}

SQL: Final = re.compile(
    r"\b(select\s+\S.*\sfrom\s|insert\s+into\s|delete\s+from\s|update\s+\w+(\s+\w+)?\s+set\s|create\s+(table|index)\s)",
    re.IGNORECASE | re.DOTALL,
)
SQL_HOMES: Final = re.compile(r"^(infra/.*|domains/\w+/(store|verify)\.py|providers/\w+/store\.py|cli/replay\.py)$")
SERVED_TO_OTHERS: Final = frozenset({"service", "model", "score", "shares"})
"""The modules of a domain that higher ones may import; pure computations of their own name are added here."""
ENTRY_POINTS: Final = frozenset({"bursar.__main__", "bursar.cli"})
MARKS: Final = re.compile(r"\b(TODO|FIXME|XXX)\b")
TIDY: Final = Path(__file__).resolve()


class Module:
    """A file of ours, parsed once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)
        self.inside = path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else ""

    @property
    def name(self) -> str:
        """As it is imported: bursar.infra.db."""
        parts = self.path.relative_to(PACKAGE.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def at(self, node: ast.AST) -> str:
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


@cache
def package() -> list[Module]:
    return [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]


@cache
def everything() -> list[Module]:
    folders = [ROOT / name for name in ("tests", "simulators") if (ROOT / name).is_dir()]
    return [*package(), *(Module(path) for folder in folders for path in sorted(folder.rglob("*.py")))]


def hold(rule: str, broken: list[str]) -> None:
    if broken:
        pytest.fail(f"{rule}\n    " + "\n    ".join(broken), pytrace=False)


def dotted(node: ast.AST) -> str:
    """`time.time` of an attribute, `print` of a name; nothing of what is neither."""
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return node.id if isinstance(node, ast.Name) else ""


def texts(tree: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Every string that is no docstring, its parts joined where it is formatted."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in node.values}
            yield node, "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation | inner:
            yield node, node.value


def imports(module: Module) -> Iterator[tuple[ast.stmt, str]]:
    """Every module that is imported, wherever in the file; `from a import b` counts as a.b and as a."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def test_files_are_short() -> None:
    broken = [
        f"{module.path.relative_to(ROOT)}: {lines} lines"
        for module in everything()
        if (lines := module.text.count("\n")) > FILE_LINES_MAX
    ]
    hold(f"a file has {FILE_LINES_MAX} lines at the most; a longer one becomes a folder of its name", broken)


def test_functions_are_short() -> None:
    broken = [
        f"{module.at(function)} {function.name}: {lines} lines"
        for module in everything()
        for function in module.functions()
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    ]
    hold(f"a function has {FUNCTION_LINES_MAX} lines at the most: branch in the parent, keep the leaves pure", broken)


def test_forbidden_names_stand_in_their_one_home() -> None:
    broken = []
    for module in package():
        for node in ast.walk(module.tree):
            name = dotted(node)
            if name not in FORBIDDEN:
                continue
            home, instead = FORBIDDEN[name]
            if not module.inside.startswith(home):
                broken.append(f"{module.at(node)} {name}: use {instead}")
    hold("a few names stand in one place only", broken)


def test_sql_stands_in_its_homes() -> None:
    broken = [
        f"{module.at(node)} {' '.join(text.split())[:60]}"
        for module in package()
        if not SQL_HOMES.match(module.inside)
        for node, text in texts(module.tree)
        if SQL.search(text)
    ]
    hold("SQL stands in stores, infra, verify modules, cli/replay and migrations only", broken)


def test_a_transaction_awaits_nothing_else() -> None:
    """So no provider, no HTTP and no other connection is waited for while rows are locked."""
    broken = []
    for module in package():
        for function in module.functions():
            parameters = [argument.arg for argument in function.args.posonlyargs + function.args.args]
            if parameters[:1] != ["tx"]:
                continue
            broken += [
                f"{module.at(awaited)} {function.name} awaits {ast.unparse(awaited.value)[:60]}"
                for awaited in ast.walk(function)
                if isinstance(awaited, ast.Await) and not _is_of_tx(awaited.value)
            ]
    hold("a function whose first parameter is tx awaits tx's methods and functions that take tx first", broken)


def _is_of_tx(call: ast.expr) -> bool:
    if not isinstance(call, ast.Call):
        return False
    is_method = dotted(call.func).startswith("tx.")
    return is_method or (bool(call.args) and isinstance(call.args[0], ast.Name) and call.args[0].id == "tx")


def test_domains_import_what_other_domains_serve() -> None:
    """That they are lower ones is import-linter's to check."""
    domains = {path.name for path in (PACKAGE / "domains").iterdir() if path.is_dir() and path.name != "__pycache__"}
    broken = []
    for module in package():
        if not module.name.startswith("bursar.domains."):
            continue
        own = module.name.split(".")[2]
        for node, imported in imports(module):
            parts = imported.split(".")
            if parts[:2] != ["bursar", "domains"] or len(parts) < 4 or parts[2] not in domains - {own}:
                continue
            if parts[3] not in SERVED_TO_OTHERS:
                broken.append(f"{module.at(node)} imports {imported}")
    hold(f"of another domain only {', '.join(sorted(SERVED_TO_OTHERS))} are imported, never its store", broken)


def test_public_functions_of_services_say_what_they_do() -> None:
    broken = [
        f"{module.at(function)} {function.name}"
        for module in package()
        if re.match(r"domains/\w+/service\.py$", module.inside)
        for function in module.tree.body
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and not function.name.startswith("_")
        and not ast.get_docstring(function)
    ]
    hold("a public function of a service has a docstring: what it does, Emits, Posts, Idempotent by, Raises", broken)


def test_modules_say_what_they_are() -> None:
    broken = [str(module.path.relative_to(ROOT)) for module in package() if not ast.get_docstring(module.tree)]
    hold("a module begins with what it is for", broken)


def test_no_module_is_dead() -> None:
    imported = {name for module in package() for _, name in imports(module)}
    broken = [
        str(module.path.relative_to(ROOT))
        for module in package()
        if module.name not in imported | ENTRY_POINTS and module.path.name != "__init__.py"
    ]
    hold("a module is imported somewhere in src, or it is an entry point, or it goes", broken)


def test_every_error_code_is_documented() -> None:
    page = _page("errors.md")
    broken = [
        f"{problem.__module__}.{problem.__name__}: {problem.code}"
        for problem in errors.problems()
        if f"| `{problem.code}` | {problem.status} |" not in page
    ]
    hold("docs/errors.md lists every code (script/bursar docs)", broken)


def test_error_codes_are_unique() -> None:
    by_code: dict[str, list[str]] = {}
    for problem in errors.problems():
        by_code.setdefault(problem.code, []).append(problem.__name__)
    hold("a code belongs to one problem", [f"{code}: {names}" for code, names in by_code.items() if len(names) > 1])


def test_every_event_is_documented() -> None:
    page = _page("events.md")
    kinds = "|".join(sorted({machine.name for machine in wiring.MACHINES} | set(wiring.AGGREGATES)))
    event = re.compile(rf"({kinds})\.[a-z_]+")
    told = {edge.event for machine in wiring.MACHINES for edge in machine.edges}
    told |= {event_type for consumer in wiring.CONSUMERS for event_type in consumer.types}
    told |= {event_type for _, event_type in wiring.AGGREGATES.values()}
    for module in package():
        for call in ast.walk(module.tree):
            if isinstance(call, ast.Call) and dotted(call.func).rpartition(".")[2] == "emit":
                told |= {text for _, text in texts(call) if event.fullmatch(text)}
    hold("docs/events.md lists every event (script/bursar docs)", sorted(e for e in told if f"| `{e}` |" not in page))


def test_every_setting_is_documented_and_read() -> None:
    page = _page("settings.md")
    names = settings.Settings.__struct_fields__
    nodes = [node for module in package() for node in ast.walk(module.tree)]
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    read |= {node.value for node in nodes if isinstance(node, ast.Constant)}  # of a route: see BODY_SETTING
    broken = [
        f"{settings.PREFIX}{name.upper()} is not in docs/settings.md (script/bursar docs)"
        for name in names
        if f"`{settings.PREFIX}{name.upper()}`" not in page
    ]
    broken += [f"{settings.PREFIX}{name.upper()} is read by nobody" for name in names if name not in read]
    hold("a setting is documented and has an effect", broken)


def test_nothing_is_left_to_do() -> None:
    files = [path for name in ("src", "tests", "script", "docs", ".ci") for path in sorted((ROOT / name).rglob("*"))]
    broken = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        if path.is_file() and path.suffix in (".py", ".sql", ".md", "") and path != TIDY
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MARKS.search(line)
    ]
    hold("what is to be done is done, or is an issue", broken)


def _page(name: str) -> str:
    path = FOLDER / name
    assert path.is_file(), f"docs/{name} is missing: script/bursar docs writes it"
    return path.read_text(encoding="utf-8")
