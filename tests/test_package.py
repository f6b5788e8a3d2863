"""The package as it is installed."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("bench", "cli", "engines", "models", "search", "server", "training", "verifiers")


@pytest.mark.timeout(300)
def test_the_wheel_holds_every_module_and_the_models(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {f"deliberate/{path.relative_to(ROOT)}" for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    assert modules <= names
    assert {"deliberate/models/tiny/model.safetensors", "deliberate/models/tiny-verifier/deliberate.json"} <= names


def test_no_import_is_heavy_before_it_is_needed() -> None:
    code = "import sys, deliberate.cli.main; print(sorted({'torch', 'transformers', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
