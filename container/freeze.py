"""Turn differ, and what it uses of HTTP/2 and the standard library, into C for the static program.

usage: python3 -I -S -B freeze.py SOURCES CONFIG_C OUT_C

``SOURCES``: the directory that holds the package ``differ``.
``CONFIG_C``: libpython's own list of built-in modules, which comes with its archive.
``OUT_C``: what to write: every module as a marshalled code object, and a list of built-in modules
that names the ones in use only, so that the linker leaves the others out.

The program has no file system to import from.  So an import anywhere in the package or in the HTTP/2
packages, inside functions too, of a module that is neither in the program nor named in ABSENT fails
the build.
"""

from __future__ import annotations

import _frozen_importlib_external as importlib
import _imp
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

ROLES = ("differ.__main__", "differ.cli", "differ.frontend.main", "differ.frontend.rewriter")
# The frontend's HTTP/2, and where Debian has it for every version of its Python.
HTTP2 = ("h2", "hpack", "hyperframe")
PACKAGES = "/usr/lib/python3/dist-packages"
# Files next to this one that take a module's place.
INSTEAD = {"logging": "silence.py"}
# What is imported inside functions, and what for.
LAZY = {
    "_sha256": "--digest",
    "differ.archives": "oci: and tar:",
    "differ.ignore": "--ignore",
    "differ.manual": "--help",
    "differ.finder": "not between overlay mounts",
    "differ.outputs": "OUT, layers, reports",
    "differ.overlay": "between overlay mounts",
    "differ.sharing": "work shared among processes",
    "differ.verify": "--verify",
    "differ.rebase": "differ-rebase",
    "differ.writers.blob": "--layer",
    "differ.writers.image": "--append",
    "differ.writers.store": "--append",
    "differ.writers.layer": "--layer",
    "differ.writers.output": "OUT, and the file of --report",
    "differ.writers.report": "--report",
    "differ.writers.listing": "lists and --stat",
    "differ.writers.table": "--stat",
    "differ.writers.totals": "--stat and --summary",
    "differ.writers.html": "--report of a page",
    "binascii": "--report, of a page, and of names and values that are not UTF-8",
    "fnmatch": "--xattr-exclude",
    "fcntl": "--append",
    "gzip": "oci: and tar:",
    "gc": "the frontend does without",
    "json": "--report",
    "re": "--ignore",
    "zlib": "--compression gzip",
    "tarfile": "oci: and tar:",
    "select": "work shared among processes",
}
# What the package can do without, and where it says so.
ABSENT = {
    "compression.zstd": "blob.py says so",
    "compression": "blob.py says so",
    "zstandard": "blob.py says so",
    "_hashlib": "content.py takes _sha256 in its place",
    "_sha2": "content.py takes _sha256 before it",
    "hashlib": "digest.py does too",
    "warnings": "hyperframe imports it in a property that nothing asks for",
    "xattr": "linux.py takes what os has",
}
# What main.c puts among the modules: a table has no place for a part of a package (importlib's BuiltinImporter).
COMPILED = ("differ._suspects",)
CODECS = ("encodings.utf_8", "encodings.ascii", "encodings.latin_1")
# The interpreter asks for these by name, whether or not a module does.
INTERPRETER = {"_imp", "_io", "_signal", "_warnings", "builtins", "errno", "marshal", "posix", "sys"}


class Finder:
    """Finds what is not looked for on the path; of Debian's other packages none gets in."""

    def __init__(self, sources: str) -> None:
        self._instead = sources + "/container/"

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Where a module is, if this one knows."""
        if name in INSTEAD:
            return importlib.spec_from_file_location(name, self._instead + INSTEAD[name])
        return importlib.PathFinder.find_spec(name, [PACKAGES]) if name in HTTP2 else None


def load(sources: str) -> dict[str, ModuleType]:
    """Import the program; what has been loaded then, by name."""
    sys.meta_path.insert(0, Finder(sources))
    # Extension modules are not in a static program; what stands in for them must be seen.
    sys.path[:] = [sources, *(path for path in sys.path if not path.endswith("lib-dynload"))]
    # Where Python has none, sha256.c is in the program.
    if "_sha256" not in sys.builtin_module_names:
        sys.modules["_sha256"] = type(sys)("_sha256")
        sys.modules["_sha256"].sha256 = None  # type: ignore[attr-defined]
    for name in (*ROLES, *CODECS, *LAZY):
        __import__(name)
    return dict(sys.modules)


def main(sources: str, config_c: str, out_c: str) -> None:
    """Freeze."""
    loaded = load(sources)
    # Imported here because they are not part of the program.
    import marshal
    import re

    in_libpython = {"importlib._bootstrap", "importlib._bootstrap_external"}
    in_libpython.update(_imp._frozen_module_names())  # type: ignore[attr-defined]
    with open(config_c) as file:
        table = dict(re.findall(r'\{"(\w+)",\s*(\w+)\}', file.read()))
    table.setdefault("_sha256", "PyInit__sha256")
    builtin = {name for name in loaded if name in sys.builtin_module_names}
    builtin |= INTERPRETER | {"_sha256"}
    unknown = builtin - {*table}
    if unknown:
        sys.exit(f"{config_c} has no {', '.join(sorted(unknown))}")

    paths = {
        name: source(module)
        for name, module in loaded.items()
        if name == module.__name__ and name not in in_libpython and source(module)
    }
    known = {*paths, *builtin, *in_libpython, *ABSENT, *COMPILED}
    packages = {parent for name in paths for parent in parents(name)}
    missing = [f"{name} has no __init__.py" for name in sorted(packages - known)]
    with open(out_c, "w") as file:
        file.write("#include <Python.h>\n")
        rows = []
        for name, path in sorted(paths.items()):
            package = hasattr(loaded[name], "__path__")
            top = name.split(".")[0]
            shown = name.replace(".", "/") + ("/__init__.py" if package else ".py")
            # A failed assert of h2 is how it finds that the other side has broken the protocol.
            code = compiled(path, shown, asserts=top in HTTP2)
            if top in ("differ", *HTTP2):
                missing += [
                    f"{name} imports {other}"
                    for other in imports(code, name)
                    if other not in known and not is_attribute(other, loaded)
                ]
            data = marshal.dumps(code)
            symbol = "frozen_" + name.replace(".", "_dot_")
            file.write(f"static const unsigned char {symbol}[] = {{\n{literal(data)}}};\n")
            rows.append(f'    {{"{name}", {symbol}, {len(data)}, {int(package)}}},\n')
        file.write(f"const struct _frozen program_modules[] = {{\n{''.join(rows)}    {{0}}\n}};\n")
        functions = {table[name] for name in builtin} - {"NULL"}
        file.writelines(f"extern PyObject *{function}(void);\n" for function in sorted(functions))
        file.write("struct _inittab _PyImport_Inittab[] = {\n")
        file.writelines(f'    {{"{name}", {table[name]}}},\n' for name in sorted(builtin))
        file.write("    {0}\n};\n")
    if missing:
        sys.exit("not in the static program (container/freeze.py): " + "; ".join(missing))
    print(f"frozen: {' '.join(sorted(paths))}\nbuilt in: {' '.join(sorted(builtin))}")


def source(module: ModuleType) -> str:
    """The file of Python that a module comes from; empty if it comes from elsewhere."""
    path = getattr(module, "__file__", None) or ""
    return path if path.endswith(".py") and module.__name__ != "__main__" else ""


def parents(name: str) -> set[str]:
    """The packages that a module is in."""
    parts = name.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts))}


def is_attribute(name: str, loaded: dict[str, ModuleType]) -> bool:
    """Whether a dotted name is no module but something that one defines."""
    module, _, attribute = name.rpartition(".")
    return hasattr(loaded.get(module), attribute)


def compiled(path: str, shown: str, asserts: bool) -> CodeType:
    """A module's code, without docstrings and what only type checkers read."""
    import ast

    class Bare(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST:
            self.generic_visit(node)
            if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                return ast.copy_location(ast.Pass(), node)
            return node

        def generic_visit(self, node: ast.AST) -> ast.AST:
            super().generic_visit(node)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                node.body[:1] = [] if node.body[1:] else [ast.copy_location(ast.Pass(), node.body[0])]
            return node

    with open(path, "rb") as file:
        tree = Bare().visit(ast.parse(file.read(), path))
    level = 0 if asserts else 2
    code: CodeType = compile(tree, "<program>/" + shown, "exec", dont_inherit=True, optimize=level)
    return code


def imports(code: CodeType, module: str) -> Iterator[str]:
    """The absolute names of the modules that a module's code imports, in functions too."""
    import dis

    level = 0
    names: tuple[str, ...] = ()
    for step in dis.get_instructions(code):
        if step.opname == "LOAD_CONST" and isinstance(step.argval, int):
            level = step.argval
        elif step.opname == "LOAD_CONST":
            names = step.argval
        elif step.opname == "IMPORT_NAME":
            above = module.split(".")[: -level or None] if "." in module else [module]
            base = ".".join([*(above if level else []), *([step.argval] if step.argval else [])])
            yield base
            if level and not step.argval:
                yield from (f"{base}.{name}" for name in names)
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            yield from imports(constant, module)


def literal(data: bytes) -> str:
    """Bytes as the inside of a C array."""
    lines = (data[at : at + 32] for at in range(0, len(data), 32))
    return "".join(",".join(map(str, line)) + ",\n" for line in lines)


main(*sys.argv[1:])
