#!/usr/bin/env python3
"""Generates `ffrtmp/v1` from `protos/ffrtmp/v1`; with --check it only says whether it is stale.

Proto path = Python path, so that protoc writes right imports and nothing needs repair.
"""

import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path("ffrtmp/v1")
HEAD = '"""Generated from protos/ffrtmp/v1 by scripts/gen_protos.py. Do not edit."""\n'


def generate(target: Path) -> None:
    sources = sorted(path.relative_to(ROOT / "protos") for path in ROOT.glob("protos/ffrtmp/v1/*"))
    services = [path for path in sources if path.stem.endswith("_service")]
    run(sources, [f"--python_out={target}", f"--mypy_out=quiet:{target}"])
    run(services, [f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}"])
    (target / PACKAGE / "__init__.py").write_text(HEAD)


def run(sources: list[Path], outputs: list[str]) -> None:
    plugins = Path(sys.executable).parent
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{ROOT / 'protos'}",
        f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
        *outputs,
        *(str(source) for source in sources),
    ]
    subprocess.run(command, check=True, cwd=ROOT)


def differences(fresh: Path, kept: Path) -> list[str]:
    names = {path.name for folder in (fresh, kept) for path in folder.glob("*.py*")}
    _, changed, missing = filecmp.cmpfiles(fresh, kept, sorted(names), shallow=False)
    return sorted(changed + missing)


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / PACKAGE).mkdir(parents=True)
        generate(Path(scratch))
        stale = differences(Path(scratch) / PACKAGE, ROOT / PACKAGE)
        if "--check" in sys.argv:
            for name in stale:
                print(f"stale: {PACKAGE / name} (run scripts/gen_protos.py)", file=sys.stderr)
            return 1 if stale else 0
        for path in (ROOT / PACKAGE).glob("*.py*"):
            path.unlink()
        for path in (Path(scratch) / PACKAGE).iterdir():
            (ROOT / PACKAGE / path.name).write_bytes(path.read_bytes())
        return 0


if __name__ == "__main__":
    sys.exit(main())
