"""The shape of the package, as docs and design promise it: parsed from the source, lazy imports counted."""

from __future__ import annotations

import ast
import fnmatch
import functools
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "limner"
CEILING = 400

# Lower layers first; a module may import from layers below its own and, inside a folder, from its neighbours there.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("limner", "limner.types", "limner.turn"),
    (
        "limner.protocols",
        "limner.seen",
        "limner.image",
        "limner.prompt",
        "limner.config",
        "limner.staging",
        "limner.concept",
        "limner.module_names",
        "limner.interrupts",
        "limner.tensorfile",
        "limner.rating",
    ),
    ("limner.concept_checks", "limner.foreign_files", "limner.rating_files"),
    ("limner.concept_file",),
    ("limner.foreign_forms", "limner.shelf"),
    ("limner.concept_formats",),
    ("limner.tagger", "limner.moving", "limner.synonyms", "limner.wordnet", "limner.instructpe"),
    ("limner.rules", "limner.lexicon"),
    (
        "limner.exchange",
        "limner.shards",
        "limner.fill",
        "limner.writer",
        "limner.integrity",
        "limner.screening",
        "limner.dataset",
        "limner.store",
        "limner.blobs",
        "limner.world",
    ),
    (
        "limner.archive",
        "limner.brainstorm",
        "limner.ledger",
        "limner.crew",
        "limner.licences",
        "limner.refine",
        "limner.relations",
        "limner.instruction",
        "limner.look",
        "limner.beautify",
    ),
    ("limner.wearing", "limner.understanding"),
    ("limner.dialogues", "limner.workers", "limner.easel", "limner.regions", "limner.requests", "limner.rewrite"),
    (
        "limner.cluster",
        "limner.duplicates",
        "limner.jobs",
        "limner.replies",
        "limner.imagine",
        "limner.label",
        "limner.filters",
        "limner.sight",
    ),
    ("limner.assemble", "limner.clarify", "limner.workbench", "limner.carrying"),
    ("limner.plan", "limner.mending"),
    ("limner.verify",),
    ("limner.painting",),
    ("limner.draw", "limner.edit"),
    ("limner.findings", "limner.synth"),
    ("limner.perform",),
    ("limner.history",),
    ("limner.remake",),
    ("limner.session", "limner.backends", "limner.corpora", "limner.prompt_sets", "limner.gallery", "limner.scenes"),
    ("limner.evaluate",),
    ("limner.train",),
    ("limner.measure", "limner.writers"),
    ("limner.toolbox",),
    ("limner.exams", "limner.factory", "limner.lessons", "limner.trials"),
    ("limner.conversations",),
    ("limner.studio",),
    ("limner.service",),
    ("limner.web", "limner.agent"),
    ("limner.terminal", "limner.commands", "limner.inline"),
    ("limner.chat", "limner.flags"),
    (
        "limner.cli_sessions",
        "limner.cli_concepts",
        "limner.cli_datasets",
        "limner.cli_train",
        "limner.cli_world",
        "limner.cli_serve",
        "limner.cli_mcp",
        "limner.cli_eval",
        "limner.cli_rate",
    ),
    ("limner.cli",),
)
FRONT = ("limner.cli", "limner.terminal", "limner.inline")
TORCH = ("torch", "transformers", "diffusers", "peft", "accelerate")
MAY_IMPORT_TORCH = ("limner.backends", "limner.train", "limner.world")


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
EVERY = pytest.mark.parametrize("module", SOURCES)


@functools.cache
def tree(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text(encoding="utf-8"))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def run_time_nodes(node: ast.AST) -> list[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`, which never run."""
    children = [] if is_type_checking(node) else list(ast.iter_child_nodes(node))
    return [node, *(below for child in children for below in run_time_nodes(child))]


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Full names of all modules imported anywhere in a module, inside functions too."""
    found: set[str] = set()
    for node in run_time_nodes(tree(module)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(name if name in SOURCES else str(node.module) for name in full)
    return frozenset(found)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def layer(module: str) -> int:
    """The layer of the longest listed name that the module is or lies in."""
    listed = [(len(name), level) for level, names in enumerate(LAYERS) for name in names if is_within(module, name)]
    level = max(listed)[1]
    assert level or module in LAYERS[0], f"{module} is in no layer: say in LAYERS where it belongs"
    return level


def folder(module: str) -> str:
    return ".".join(module.split(".")[:2]) if module.count(".") > 1 or SOURCES[module].name == "__init__.py" else module


@EVERY
def test_imports_run_downward(module: str) -> None:
    ours = {name for name in imports(module) if is_within(name, "limner")}
    upward = [n for n in ours if layer(n) >= layer(module) and folder(n) != folder(module) and n != "limner"]
    assert upward == []


def test_there_are_no_cycles() -> None:
    graph = {module: {n for n in imports(module) if n in SOURCES and n != module} for module in SOURCES}
    TopologicalSorter(graph).prepare()


@EVERY
def test_only_the_models_import_torch(module: str) -> None:
    heavy = {name for name in imports(module) if name.split(".")[0] in TORCH}
    assert not heavy or any(is_within(module, allowed) for allowed in MAY_IMPORT_TORCH)


@pytest.mark.parametrize("light", ["limner", "limner.cli", "limner.config", "limner.studio", "limner.protocols"])
def test_import_is_light(light: str) -> None:
    code = f"import sys, {light}; print([name for name in {TORCH!r} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_what_is_installed_is_all_of_it() -> None:
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    patterns: list[str] = settings["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = [name for name, path in SOURCES.items() if path.name == "__init__.py"]
    assert [name for name in packages if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)] == []


@EVERY
def test_no_file_grows_over_the_ceiling(module: str) -> None:
    assert len(SOURCES[module].read_text(encoding="utf-8").splitlines()) <= CEILING


def uses(module: str, *names: str) -> list[str]:
    """The dotted names among `names` that occur in a module, as `os.environ` or `print`."""
    nodes = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Name | ast.Attribute)]
    return [text for node in nodes if (text := ast.unparse(node)) in names]


@EVERY
def test_only_the_command_line_prints(module: str) -> None:
    """A recipe in limner.train is a command line of its own: `python -m limner.train.NAME`."""
    if module not in (
        "limner.cli",
        "limner.terminal",
        "limner.chat",
        "limner.inline",
        "limner.cli_sessions",
    ) and not is_within(module, "limner.train"):
        assert uses(module, "print", "sys.stdout", "sys.stderr", "rich.print") == []


@EVERY
def test_only_config_reads_the_environment(module: str) -> None:
    if module not in ("limner.config", "limner.backends.hardware"):
        assert uses(module, "os.environ", "os.getenv", "os.putenv") == []


@EVERY
def test_nothing_is_evaluated_or_unpickled(module: str) -> None:
    forbidden = ["eval", "exec", "pickle.load", "pickle.loads", "torch.load", "os.system"]
    if module == "limner.backends.pickled":  # which opens tensors only, and only when the user insists
        forbidden.remove("torch.load")
    assert uses(module, *forbidden) == []
