#!/usr/bin/env python3
"""Makes bindings/ anew from wit/: run it when the contract has grown. Authors of plugins do not need it.

    cargo install --root DIR wit-bindgen-cli --version 0.63.0 --no-default-features --features c,go
    sdk/c/generate.py DIR/bin/wit-bindgen

A core module says which contract it speaks in custom sections; what becomes a component reads them and merges them. There
is one for the imports and one for each exported interface, so that a plugin exports the hooks it has and no others.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SDK = Path(__file__).resolve().parent
CONTRACT = SDK.parent.parent / "wit"
VERSION = "0.1.0"
EXPORTS = ["lifecycle"] + [f"{hook}-hook" for hook in "connect auth rcpt data route bounce events".split()]
OCTETS_A_LINE = 24


def main() -> None:
    tool = sys.argv[1]
    bindings = SDK / "bindings"
    generate(tool, "import-all", "include imports;", ["--no-object-file", "--rename-world", "baton_raw"], bindings)
    macros = [macro("imports", section(tool, "imports", "include imports;"))]
    for export in EXPORTS:
        name = export.removesuffix("-hook")
        macros.append(macro(name, section(tool, name, f"export {export};")))
    text = "// What a module says of the contract that it speaks. Made by generate.py from wit/; not to be edited.\n#pragma once\n\n"
    (bindings / "sections.h").write_text(text + "\n".join(macros))


def generate(tool: str, world: str, content: str, options: list[str], output: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        wit = Path(name) / "wit"
        shutil.copytree(CONTRACT, wit)
        (wit / "world.wit").write_text(f"package baton:relay@{VERSION};\nworld {world} {{ {content} }}\n")
        command = [tool, "c", "--world", world, *options, "--out-dir", str(output), str(wit)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def section(tool: str, name: str, content: str) -> bytes:
    """The content of the custom section that the generated object file has."""
    with tempfile.TemporaryDirectory() as folder:
        generate(tool, f"only-{name}", content, [], Path(folder))
        module = next(Path(folder).glob("*.o")).read_bytes()
    at = 8
    while at < len(module):
        kind = module[at]
        size, start = number(module, at + 1)
        if kind == 0:
            length, begin = number(module, start)
            if module[begin : begin + length].startswith(b"component-type:"):
                return module[begin + length : start + size]
        at = start + size
    raise SystemExit(f"{tool} made no object with a component-type section")


def number(octets: bytes, at: int) -> tuple[int, int]:
    """A LEB128 number, and where the next thing begins."""
    value = shift = 0
    while True:
        octet = octets[at]
        at += 1
        value |= (octet & 0x7F) << shift
        shift += 7
        if not octet & 0x80:
            return value, at


def macro(name: str, content: bytes) -> str:
    lines = [f"#define BATON_SECTION_{name} \\"]
    lines.append(f'  __asm__(".section \\\".custom_section.component-type:baton-{name}\\\",\\"\\",@\\n" \\')
    for start in range(0, len(content), OCTETS_A_LINE):
        octets = ",".join(str(octet) for octet in content[start : start + OCTETS_A_LINE])
        lines.append(f'  ".byte {octets}\\n" \\')
    lines[-1] = lines[-1].removesuffix(" \\") + ");"
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
