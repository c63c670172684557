"""The house: who may import whom, what is heavy and when, and how long things are."""

import ast
import subprocess
import sys
from functools import cache

import pytest
from conftest import ROOT
from samples import measured, write

from bench.record import Traffic

PACKAGES = ("suites", "bench", "reports")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
OF_BENCH = {
    "bench.record", "bench.summary", "bench.journal", "bench.findings", "bench.ceilings", "bench.curves",
    "bench.answers", "bench.pair", "bench.gate_journal", "bench.cache",
}  # fmt: skip
LAZY_OF_BENCH = {"bench.launch", "bench.launcher", "bench.sweep", "bench.doctor", "bench.stand", "bench.sides"}
HEAVY = {"torch", "torchvision", "numpy", "pandas", "scipy", "plotly", "jinja2", "pytest", "pytest_benchmark"}
LISTS_MODULES = """
import sys
sys.argv = ["dlhw", *sys.argv[1:]]
try:
    from reports.cli import main
    main()
except SystemExit as end:
    assert not end.code, end.code
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@cache
def tree(path):
    return ast.parse(path.read_text("utf-8"))


def imported(node):
    """The modules that an import statement names; of `from a import b` both `a` and `a.b`, as b may be one."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: imports are absolute"
        return {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return set()


def at_import(node):
    """The statements below `node` that run when its module is imported: no function's, nothing for types only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from at_import(child)


def names(nodes):
    return set().union(*map(imported, nodes))


def tops(modules):
    return {module.partition(".")[0] for module in modules}


def run_python(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-P", *arguments], cwd=folder, env={"PATH": "", "PYTHONPATH": str(ROOT)}, text=True,
        capture_output=True, check=True,
    )  # fmt: skip


def modules_after(*arguments, folder):
    """The modules that a `dlhw` with these arguments has imported when it ends."""
    return set(run_python("-c", LISTS_MODULES, *map(str, arguments), folder=folder).stderr.splitlines()[-1].split())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path):
    package = name_of(path).partition(".")[0]
    later = set(PACKAGES[PACKAGES.index(package) + 1 :])
    assert tops(names(ast.walk(tree(path)))) & (later | {"tests"}) == set()


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path).startswith("reports.")], ids=name_of)
def test_reports_take_of_bench_only_the_format(path):
    files = {name_of(path) for path in MODULES}
    of_bench = {name for name in names(ast.walk(tree(path))) if name in files and name.startswith("bench.")}
    assert of_bench <= OF_BENCH | LAZY_OF_BENCH
    assert of_bench & names(at_import(tree(path))) <= OF_BENCH


@pytest.mark.parametrize(
    "path", [path for path in MODULES if name_of(path).startswith(("suites.", "reports."))], ids=name_of
)
def test_torch_is_imported_by_bench_and_nets_only(path):
    allowed = {"torch", "torchvision"} if name_of(path).startswith("suites.architectures.") else set()
    assert tops(names(at_import(tree(path)))) & {"torch", "torchvision"} <= allowed
    if name_of(path).startswith("reports."):
        assert tops(names(ast.walk(tree(path)))) & {"torch", "torchvision"} == set()


@pytest.mark.parametrize(
    "name",
    ["record", "summary", "journal", "ceilings", "curves", "answers", "pair", "gate_journal", "cache"],
)
def test_the_format_needs_the_standard_library_only(name):
    used = tops(names(ast.walk(tree(ROOT / "bench" / f"{name}.py"))))
    assert used - set(sys.stdlib_module_names) <= {"bench", "suites"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_reads_the_environment_when_imported(path):
    read = {ast.unparse(node) for node in at_import(tree(path)) if isinstance(node, ast.Attribute)}
    assert read & {"os.environ", "os.getenv", "sys.argv", "logging.basicConfig"} == set()


@pytest.mark.parametrize(
    ("module", "light"),
    [
        ("reports.cli", HEAVY),
        ("reports", HEAVY),
        ("suites.suite", HEAVY),
        ("bench.record", HEAVY),
        ("bench.journal", HEAVY),
        ("bench.launch", HEAVY),
        ("bench.launcher", HEAVY),
        ("bench.doctor", HEAVY),
        ("bench.sweep", HEAVY),
        ("bench.stand", HEAVY),
        ("bench.sides", HEAVY),
        ("reports.gate_cli", HEAVY),
        ("bench.plugin", {"torch", "torchvision", "numpy", "pandas"}),
        ("reports.frames", {"torch", "torchvision"}),
    ],
)
def test_importing_is_light(module, light, tmp_path):
    output = run_python("-c", f"import sys, {module}; print(*sys.modules)", folder=tmp_path).stdout
    assert set(output.split()) & light == set()


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], HEAVY),
        (["table", "--help"], HEAVY),
        (["recover", "--help"], HEAVY),
        (["doctor", "--help"], HEAVY),
        (["suites"], {"torch", "torchvision"}),
        (["suites", "quick"], {"torch", "torchvision"}),
        (["table", "r.json"], {"torch", "torchvision"}),
        (["table", "r.json", "--parquet", "o.parquet"], {"torch", "torchvision"}),
        (["roofline", "r.json"], {"torch", "torchvision"}),
        (["report", "r.json", "-o", "p.html"], {"torch", "torchvision"}),
        (["compare", "r.json", "r.json"], {"torch", "torchvision"}),
        (["advise", "r.json", "--architecture", "lenet"], {"torch", "torchvision"}),
        (["explain", "r.json", "--case", "lenet-inference-b8-fp32-contiguous-eager-cpu-t2"], {"torch", "torchvision"}),
    ],
    ids=" ".join,
)
def test_commands_do_without_torch(arguments, absent, tmp_path):
    traffic = Traffic(compulsory_bytes=1, operator_bytes=1, operators=1, by_size={"0": 1})
    write(tmp_path / "r.json", measured(traffic=traffic))
    assert modules_after(*arguments, folder=tmp_path) & absent == set()


def test_recovering_does_without_torch(mini, tmp_path):
    journal = mini.folder / "results.journal.jsonl"
    assert modules_after("recover", journal, "-o", "o.json", folder=tmp_path) & {"torch", "torchvision"} == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_file_is_read_in_one_sitting(path):
    assert len(path.read_text("utf-8").splitlines()) < 450


@pytest.mark.parametrize("package", PACKAGES)
def test_functions_are_short(package):
    lengths = sorted(
        node.end_lineno - node.lineno + 1
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert lengths[int(0.9 * len(lengths))] < 25


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_exports(package):
    found = tree(ROOT / package / "__init__.py")
    assert ast.get_docstring(found)
    public = {node.name for node in found.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    assert public == set()
