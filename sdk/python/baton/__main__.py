"""python -m baton build SOURCE [-o OUTPUT]: from a module with functions on_rcpt, on_data, … to a component for the relay.

The hooks are the functions that the module defines: a world of just these is written beside the contract, and an entry
that ties the module to it. componentize-py imports it all once; the component begins from that memory.
"""

import argparse
import ast
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SDK = Path(__file__).resolve().parent
CONTRACT = (SDK / "wit", SDK.parent.parent.parent / "wit")
"""Packed with the SDK, or where the SDK lies in the relay's sources."""

VERSION = "0.1.0"
INTERFACES = (
    "log config kv dns http metrics clock types session envelope message routing failure verify"  # of baton:host, baton:relay
).split()
HOOKS = {
    "connect": ("self", ""),
    "auth": ("self, mechanism, user, given", "_plugin.credential(mechanism, user, given)"),
    "rcpt": ("self, rcpt, params", "_plugin.recipient(rcpt), _plugin.rcpt_parameters(params)"),
    "data": ("self", ""),
    "route": ("self, rcpt", "_plugin.recipient(rcpt)"),
    "bounce": ("self, rcpt", "_plugin.recipient(rcpt)"),
    "events": ("self, batch", "[_plugin.event(given) for given in batch]"),
}
"""What the host gives to a hook, and what of it the plugin's function takes."""


class Stop(Exception):
    """Ends the command with that text."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m baton", description=__doc__)
    commands = parser.add_subparsers(required=True)
    build = commands.add_parser("build", help="make the component")
    build.add_argument("source", type=Path)
    build.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    try:
        make(given.source, given.output or Path("dist") / f"{given.source.stem}.wasm")
    except Stop as stop:
        print(f"error: {stop}", file=sys.stderr)
        return 1
    return 0


def make(source: Path, output: Path) -> None:
    hooks = hooks_of(source)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="baton-python-") as name:
        folder = Path(name)
        write_world(folder / "wit", hooks)
        (folder / "baton_entry.py").write_text(entry(source, hooks))
        run_componentize(folder, source, output)
    size = output.stat().st_size / (1 << 20)
    print(f"{output}: {size:.1f} MiB, hooks: {', '.join(hooks)}")


def hooks_of(source: Path) -> list[str]:
    """The hooks among the names that a module binds at its top. It is read, not run: it may need the relay."""
    try:
        module = ast.parse(source.read_text(encoding="utf-8"), source.name)
    except (OSError, SyntaxError) as error:
        raise Stop(f"{source}: {error}") from error
    names: set[str] = set()
    for statement in module.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(statement.name)
        elif isinstance(statement, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in statement.names)
        elif isinstance(statement, ast.Assign):
            names.update(target.id for target in statement.targets if isinstance(target, ast.Name))
    known = {f"on_{hook}" for hook in HOOKS}
    unknown = sorted(name for name in names if name.startswith("on_") and name not in known)
    if unknown:
        raise Stop(f"{source}: {', '.join(unknown)} is no hook; hooks are {', '.join(f'on_{hook}' for hook in HOOKS)}")
    hooks = [hook for hook in HOOKS if f"on_{hook}" in names]
    if not hooks:
        raise Stop(f"{source} defines no hook: a function named {', '.join(f'on_{hook}' for hook in HOOKS)}")
    return hooks


def write_world(folder: Path, hooks: list[str]) -> None:
    contract = next((path for path in CONTRACT if (path / "relay.wit").is_file()), None)
    if contract is None:
        raise Stop(f"the contract is not there: neither {CONTRACT[0]} nor {CONTRACT[1]}")
    shutil.copytree(contract, folder)
    exported = " ".join(f"export {hook}-hook;" for hook in hooks)
    world = f"package baton:relay@{VERSION};\nworld plugin {{ include base; {exported} }}\n"
    (folder / "plugin.wit").write_text(world)


def entry(source: Path, hooks: list[str]) -> str:
    lines = [
        "from baton import _host, _plugin",
        "from componentize_py_types import Err",
        f"from wit_world.imports import {', '.join(INTERFACES)}",
        f"from wit_world.exports import lifecycle, {', '.join(f'{hook}_hook' for hook in hooks)}",
        f"import {source.stem} as plugin",
        f"_host.connect({', '.join(f'{name}={name}' for name in INTERFACES)})",
        "guest = _plugin.Guest(plugin)",
        "class Lifecycle:",
        "    def init(self):",
        "        problems = guest.init()",
        "        if problems:",
        "            raise Err([lifecycle.Problem(problem.path, problem.message) for problem in problems])",
    ]
    for hook in hooks:
        takes, gives = HOOKS[hook]
        call = f"guest.call('on_{hook}'{', ' if gives else ''}{gives})"
        result = call if hook == "events" else f"return _plugin.lower({hook}_hook, {call})"
        lines += [f"class {hook.capitalize()}Hook:", f"    def on_{hook}({takes}):", f"        {result}"]
    return "\n".join(lines) + "\n"


def run_componentize(folder: Path, source: Path, output: Path) -> None:
    beside = Path(sys.executable).parent / "componentize-py"
    command = str(beside) if beside.is_file() else shutil.which("componentize-py")
    if command is None:
        raise Stop("componentize-py is not there: python3 -m pip install componentize-py==0.25.1")
    paths = [folder, source.resolve().parent, SDK.parent]
    arguments = [command, "--quiet", "-d", str(folder / "wit"), "-w", "plugin", "componentize", "-s"]
    for path in paths:
        arguments += ["-p", str(path)]
    finished = subprocess.run([*arguments, "baton_entry", "-o", str(output)], check=False)
    if finished.returncode != 0:
        raise Stop(f"{source}: componentize-py did not make the component (see above)")


if __name__ == "__main__":
    sys.exit(main())
