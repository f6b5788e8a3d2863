"""Tables by the library `datasets`, that the tests write with it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from deliberate.training.datasets import BadData, DatasetConfig, ProblemRow, StepwiseRow, read_dataset

LINES: list[dict[str, Any]] = [
    {"prompt": [{"role": "user", "content": "1 + 1?"}], "completion": "2", "answer": "2"},
    {"prompt": [{"role": "user", "content": "1 + 2?"}], "completion": "3", "answer": None},
]


@pytest.fixture
def table() -> Dataset:
    return Dataset.from_list(LINES)


def read(source: Path | str, format_name: str = "trl", **options: Any) -> tuple[ProblemRow, ...]:
    return read_dataset(DatasetConfig(format=format_name, source=str(source), **options)).of(ProblemRow)


def write(table: Dataset, path: Path, kind: str) -> Path:
    if kind == "parquet":
        table.to_parquet(path / "rows.parquet")
    else:
        table.save_to_disk(path / "saved")
    return next(path.rglob(f"*.{kind}"))


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_files_and_folders_of_tables(table: Dataset, tmp_path: Path, kind: str) -> None:
    file = write(table, tmp_path, kind)
    for source in (file, file.parent):
        rows = read(source)
        assert [row.question for row in rows] == ["1 + 1?", "1 + 2?"]
        assert [row.solution for row in rows] == ["2", "3"]
        assert [row.verifier for row in rows] == [{"kind": "reference", "answer": "2"}, None]
        assert rows[1].place == f"{source} row 2"


def test_splits_of_what_was_saved(table: Dataset, tmp_path: Path) -> None:
    DatasetDict({"train": table, "test": table.select([1])}).save_to_disk(tmp_path)
    assert len(read(tmp_path, split="train")) == 2
    (row,) = read(tmp_path, split="test")
    assert row.id == f"{tmp_path.name}/test:1"
    with pytest.raises(BadData, match=r"has the splits train, test; name one of them with `split`"):
        read(tmp_path)
    with pytest.raises(BadData, match=r"cannot be read: .*dev"):
        read(tmp_path, split="dev")


def test_nested_formats_come_back_whole(tmp_path: Path) -> None:
    step = {
        "completions": [{"text": "A", "rating": 1, "flagged": None}, {"text": "B", "rating": -1, "flagged": None}],
        "human_completion": None,
        "chosen_completion": 0,
    }
    label = {"steps": [step], "total_time": 1, "finish_reason": "solution"}
    line = {"question": {"problem": "?", "ground_truth_answer": "2"}, "label": label, "generation": None}
    Dataset.from_list([line]).to_parquet(tmp_path / "prm800k.parquet")
    data = read_dataset(DatasetConfig(format="prm800k", source=str(tmp_path / "prm800k.parquet")))
    assert [(row.steps, row.labels) for row in data.of(StepwiseRow)] == [(("A",), (1.0,)), (("B",), (0.0,))]


def test_bad_rows_are_told_by_number(tmp_path: Path) -> None:
    Dataset.from_list([{"prompt": "?"}, {"prompt": ""}]).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(BadData, match=r"rows\.parquet row 2 has an empty 'prompt'; fill it"):
        read(tmp_path / "rows.parquet")


def test_tables_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"not a table")
    with pytest.raises(BadData, match=r"rows\.parquet cannot be read: "):
        read(tmp_path / "rows.parquet")


def test_the_hub_that_cannot_be_reached() -> None:
    code = (
        "from deliberate.training.datasets import BadData, DatasetConfig, read_dataset\n"
        "try: read_dataset(DatasetConfig(format='gsm8k', source='hf:openai/gsm8k', name='main', split='train'))\n"
        "except BadData as error: print(error)"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": "/nonexistent", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("hf:openai/gsm8k cannot be read: ")


def test_without_the_library_it_is_said_how_to_install_it(
    table: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(table, tmp_path, "parquet")
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setitem(sys.modules, "datasets.exceptions", None)
    with pytest.raises(BadData, match=r"install it with pip install 'deliberate\[datasets\]'"):
        read(file)
