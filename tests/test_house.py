"""The house: who may import whom, what is heavy and when, and how long things are."""

import ast
import subprocess
import sys
from functools import cache

import pytest

from bench.records.record import Traffic
from tests.support.runner import ROOT
from tests.support.samples import measured, write

PACKAGES = ("suites", "bench", "reports")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
ROOMS = (
    ({"suites"},),
    ({"bench.records"}, {"bench.machine"}, {"bench.worker", "bench.controller", "bench.prediction"},
     {"bench.sweep", "bench.doctor"}, {"bench.gate", "bench.selftest", "bench.fleet"}),
    ({"reports.results", "reports.references"}, {"reports.analysis"},
     {"reports.gate", "reports.history", "reports.fleet"},
     {"reports.page"}, {"reports.cli"}),
)  # fmt: skip
"""Packages in the order of their imports; in each its floors from the ground up, and on each its rooms."""
TORCH_ROOMS = ("bench.worker", "suites.architectures")
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


def room_of(module):
    """The room that a module is in, as ROOMS names it; None for a package itself and for tests of the suite."""
    rooms = [room for floors in ROOMS for floor in floors for room in floor]
    return next((room for room in rooms if module == room or module.startswith(f"{room}.")), None)


def place_of(module):
    """(package, floor) of a module; the lower may not import the higher."""
    room = room_of(module)
    return next(
        (package, floor)
        for package, floors in enumerate(ROOMS)
        for floor, rooms in enumerate(floors)
        if room in rooms
    )  # fmt: skip


def wall_between(importer, imported):
    """Why `importer` may not import `imported`; empty where it may."""
    if imported.partition(".")[0] == "tests":
        return "tests are imported by tests alone"
    if room_of(importer) is None or room_of(imported) is None:
        later = set(PACKAGES[PACKAGES.index(importer.partition(".")[0]) + 1 :])
        return "a later package" if imported.partition(".")[0] in later else ""
    if place_of(imported) > place_of(importer):
        return f"{room_of(imported)} is above {room_of(importer)}"
    if place_of(imported) == place_of(importer) and room_of(imported) != room_of(importer):
        return f"{room_of(imported)} is beside {room_of(importer)}: neither knows the other"
    return ""


def files_imported(path):
    """The project's files that a file imports, wherever in it; of `from a import b` a file `a.b` where it is one."""
    found = names(ast.walk(tree(path)))
    return {module for module in found if module in FILES}


FILES = {name_of(path).removesuffix(".__init__") for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path):
    importer = name_of(path).removesuffix(".__init__")
    problems = {module: wall_between(importer, module) for module in names(ast.walk(tree(path)))
                if module.partition(".")[0] in {*PACKAGES, "tests"}}  # fmt: skip
    assert {module: problem for module, problem in problems.items() if problem} == {}


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("suites.case", "bench.records.record"), ("suites.case", "reports.results.frames"),
        ("bench.records.record", "bench.machine.host"), ("bench.machine.host", "bench.worker.memory"),
        ("bench.worker.server", "bench.controller.process"), ("bench.controller.process", "bench.worker.template"),
        ("bench.controller.launcher", "bench.sweep.sweep"), ("bench.sweep.sweep", "bench.doctor.examine"),
        ("bench.doctor.examine", "bench.sweep.sweep"), ("bench.sweep.sweep", "bench.gate.session"),
        ("bench.gate.session", "reports.gate.judge"), ("bench.doctor.examine", "bench.selftest.flow"),
        ("bench.selftest.flow", "bench.gate.session"), ("reports.results.frames", "reports.references.published"),
        ("reports.results.frames", "reports.analysis.roofline"), ("reports.analysis.compare", "reports.gate.judge"),
        ("reports.gate.judge", "reports.page.figures"), ("reports.page.figures", "reports.cli"),
        ("reports.history.cli", "reports.gate.judge"),
        ("reports.cli", "tests.support.samples"),
    ],
)  # fmt: skip
def test_a_wrong_import_is_told(importer, imported):
    assert wall_between(importer, imported)


def test_every_file_is_in_a_room():
    homeless = {name for name in FILES if room_of(name) is None}
    assert homeless == {"bench", "reports", "bench.test_inference", "bench.test_training", "bench.test_hardware"}


def test_no_files_import_one_another_in_a_circle():
    imports = {name_of(path).removesuffix(".__init__"): files_imported(path) for path in MODULES}
    while leaves := {name for name, found in imports.items() if not found & imports.keys() - {name}}:
        imports = {name: found for name, found in imports.items() if name not in leaves}
    assert imports == {}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_torch_is_imported_by_the_worker_and_the_nets_alone(path):
    found = tops(names(ast.walk(tree(path)))) & {"torch", "torchvision"}
    assert not found or name_of(path).startswith(TORCH_ROOMS)


@pytest.mark.parametrize("path", [path for path in MODULES if "bench/records/" in path.as_posix()], ids=name_of)
def test_records_need_the_standard_library_only(path):
    used = tops(names(ast.walk(tree(path))))
    assert used - set(sys.stdlib_module_names) <= {"bench", "suites"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_reads_the_environment_when_imported(path):
    read = {ast.unparse(node) for node in at_import(tree(path)) if isinstance(node, ast.Attribute)}
    assert read & {"os.environ", "os.getenv", "sys.argv", "logging.basicConfig"} == set()


@pytest.mark.parametrize(
    ("module", "light"),
    [
        *((module, HEAVY) for module in (
            "reports.cli", "reports", "suites.suite", "bench.records.record", "bench.records.journal",
            "bench.controller.process", "bench.controller.launcher", "bench.doctor.examine", "bench.sweep.sweep",
            "bench.gate.session", "bench.gate.sides", "bench.selftest.flow", "reports.gate.cli", "reports.history.cli",
        )),
        ("bench.sweep.plugin", {"torch", "torchvision", "numpy", "pandas"}),
        ("reports.results.frames", {"torch", "torchvision"}),
    ],
)  # fmt: skip
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
        (["selftest", "--help"], HEAVY),
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
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_commands_do_without_torch(arguments, absent, tmp_path):
    traffic = Traffic(compulsory_bytes=1, operator_bytes=1, operators=1, by_size={"0": 1})
    write(tmp_path / "r.json", measured(traffic=traffic))
    assert modules_after(*arguments, folder=tmp_path) & absent == set()


def test_recovering_does_without_torch(mini, tmp_path):
    journal = mini.folder / "results.journal.jsonl"
    assert modules_after("recover", journal, "-o", "o.json", folder=tmp_path) & {"torch", "torchvision"} == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_files_and_functions_can_be_held_in_the_head(path):
    assert len(path.read_text("utf-8").splitlines()) <= 400
    assert [name for name, length in lengths(path) if length > 60] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_most_functions_are_short(package):
    found = sorted(length for path in (ROOT / package).rglob("*.py") for _, length in lengths(path))
    assert found[int(0.9 * len(found))] < 25


def lengths(path):
    return [
        (node.name, node.end_lineno - node.lineno + 1)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_exports(package):
    found = tree(ROOT / package / "__init__.py")
    assert ast.get_docstring(found)
    public = {node.name for node in found.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    assert public == set()
