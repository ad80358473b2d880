#!/usr/bin/env python3
"""Makes internal/bindings, internal/wit and sections anew from wit/: run it when the contract has grown. Authors of plugins
do not need it.

    cargo install --root DIR wit-bindgen-cli --version 0.63.0 --no-default-features --features c,go
    sdk/go/generate.py DIR/bin/wit-bindgen PKG

PKG is the folder `src/pkg` of the crate wit-bindgen-go 0.63.0, as cargo unpacked it: the runtime that the bindings need.
A file of `sections` is a custom section as it stands in a module; the ones of a plugin's hooks are put behind its code.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SDK = Path(__file__).resolve().parent
sys.path.insert(0, str(SDK.parent / "c"))

import generate as c  # noqa: E402

RUNTIME = "go.bytecodealliance.org/pkg/wit"
OURS = "baton/internal/wit"


def main() -> None:
    tool, package = sys.argv[1], Path(sys.argv[2])
    write_bindings(tool)
    copy_runtime(package)
    for export in ["imports", *c.EXPORTS]:
        name = export.removesuffix("-hook")
        content = "include imports;" if name == "imports" else f"export {export};"
        (SDK / "sections" / name).write_bytes(custom_section(f"component-type:baton-{name}", c.section(tool, name, content)))


def write_bindings(tool: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(c.CONTRACT, folder / "wit")
        (folder / "wit/world.wit").write_text(f"package baton:relay@{c.VERSION};\nworld import-all {{ include imports; }}\n")
        options = ["--world", "import-all", "--pkg-name", "baton/internal/bindings", "--out-dir", str(folder / "out")]
        subprocess.run([tool, "go", *options, str(folder / "wit")], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(SDK / "internal/bindings", ignore_errors=True)
        for source in sorted((folder / "out/imports").glob("*/*")):
            target = SDK / "internal/bindings" / source.parent.name / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text().replace(RUNTIME, OURS).replace("bindings/imports/", "bindings/")
            target.write_text(text.rstrip() + "\n")
    subprocess.run(["gofmt", "-w", str(SDK / "internal/bindings")], check=True)


def copy_runtime(package: Path) -> None:
    """What is not async of the runtime, with its licence."""
    shutil.rmtree(SDK / "internal/wit", ignore_errors=True)
    for name in ("runtime/runtime.go", "runtime/empty.s", "types/option.go", "types/result.go", "types/tuple.go", "types/unit.go"):
        target = SDK / "internal/wit" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package / "wit" / name, target)
    shutil.copyfile(package / "LICENSE", SDK / "internal/wit/LICENSE")


def custom_section(name: str, content: bytes) -> bytes:
    body = leb128(len(name)) + name.encode() + content
    return b"\0" + leb128(len(body)) + body


def leb128(value: int) -> bytes:
    octets = bytearray()
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])


if __name__ == "__main__":
    main()
