import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hauberk.adapters.data import columns
from hauberk.adapters.data.source import load_dataset
from hauberk.core.errors import DataError

DATA = Path(__file__).parents[4] / "shared" / "data"
ROWS = [(i * 10.0, "red" if i % 3 else "blue", 7, "yes" if i % 2 else "no") for i in range(40)]
HEAD = "size,colour,fixed,Label"


def csv_of(rows: Sequence[tuple[object, ...]], head: str = HEAD) -> str:
    return "\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n"


def load_text(path: Path, text: str | bytes, name: str = "t.csv") -> object:
    content = text.encode() if isinstance(text, str) else text
    (path / name).write_bytes(content)
    return load_dataset(f"csv:{path / name}")


def test_numbers_are_scaled_and_categories_one_hot(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(csv_of(ROWS))
    data = load_dataset(f"csv:{tmp_path / 't.csv'}")
    assert data.shape == (4,)  # size, blue, red, fixed
    assert data.classes == 2
    np.testing.assert_array_equal(data.y, np.arange(40) % 2)  # no, yes in order of name
    np.testing.assert_array_equal(data.x[:, 1] + data.x[:, 2], 1)
    np.testing.assert_array_equal(data.x[:, 1], np.arange(40) % 3 == 0)
    np.testing.assert_array_equal(data.x[:, 3], 0)
    train = data.split("train").x[:, 0]
    assert (float(train.min()), float(train.max())) == (0.0, 1.0)


def test_the_scale_comes_from_the_train_part_alone(tmp_path: Path) -> None:
    """A huge value outside the train part is clipped; it must not squeeze the others."""
    (tmp_path / "t.csv").write_text(csv_of(ROWS))
    before = load_dataset(f"csv:{tmp_path / 't.csv'}")
    odd = int(before.indices("test")[0])
    changed = [(1e9, *row[1:]) if i == odd else row for i, row in enumerate(ROWS)]
    (tmp_path / "t.csv").write_text(csv_of(changed))
    after = load_dataset(f"csv:{tmp_path / 't.csv'}")
    others = np.delete(np.arange(40), odd)
    np.testing.assert_array_equal(after.x[others], before.x[others])
    assert after.x[odd, 0] == 1.0


@pytest.mark.parametrize("head", ["a,b,c,label", "a,TARGET,c,d", "class,b,c,d", "a,b,c,d"])
def test_the_label_is_found_by_name_or_place(tmp_path: Path, head: str) -> None:
    rows = [(i % 2, i % 2, i % 2, i % 2) for i in range(20)]
    (tmp_path / "t.csv").write_text(csv_of(rows, head))
    data = load_dataset(f"csv:{tmp_path / 't.csv'}")
    assert data.shape == (3,)
    np.testing.assert_array_equal(data.y, np.arange(20) % 2)


def test_gzip_and_byte_order_marks_are_read(tmp_path: Path) -> None:
    plain = load_text(tmp_path, csv_of(ROWS))
    packed = load_text(tmp_path, gzip.compress(csv_of(ROWS).encode()), "p.csv.gz")
    marked = load_text(tmp_path, b"\xef\xbb\xbf" + csv_of(ROWS).encode(), "m.csv")
    assert plain.digest == packed.digest == marked.digest  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "columns"),
        ("a,label\n", "no rows"),
        ("a,label\n1,x\n2\n", "line 3 has 1 values"),
        ("a,label\n1,x\n,y\n3,x\n", "missing"),
        ("a,label\n1,x\nnan,y\n3,x\n", "missing or infinite"),
        ("a,label\n1,x\ninf,y\n3,x\n", "missing or infinite"),
        ("a,label\nred,x\n,y\nblue,x\n", "missing"),
        ("a,label\n1,x\n2,\n3,x\n", "missing"),
        ("a,label\n1,x\n2,x\n", "has 1 values"),
        ("a,a,label\n1,2,x\n", "two columns"),
        ('a,label\n"1,x\n', "line"),
        ("a,label\n" + "".join(f"{i},{i}\n" for i in range(1500)), "1500 values"),
        ("a,label\n" + "".join(f"k{i},{i % 2}\n" for i in range(900)), "categories"),
        ("a,label\n" + f"{'w' * 300},1\nz,0\n" * 9, "characters in one cell"),
        ("label\n1\n0\n", "1 columns"),
        (",".join(f"c{i}" for i in range(5000)), "5000 columns"),
        ("a,label\n" + "-1e308,1\n1e308,0\n" * 9, "spans more"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        load_text(tmp_path, text)


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="UTF-8"):
        load_text(tmp_path, "größe,label\n1,x\n".encode("latin-1"))


def test_large_tables_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hauberk.adapters.data.reading.MAX_VALUES", 100)
    with pytest.raises(DataError, match="more than 100"):
        load_text(tmp_path, csv_of(ROWS))


def test_a_category_unseen_in_training_is_all_zero() -> None:
    y = np.tile(np.array([0.0, 1.0]), 50)
    colour = np.full(100, "red")
    first = columns.encode("t", {"colour": colour, "label": y}, where="t")
    colour[first.indices("test")[0]] = "green"
    after = columns.encode("t", {"colour": colour, "label": y}, where="t")
    assert after.shape == (1,)
    assert after.split("test").x[0, 0] == 0.0


def test_parquet_reads_as_csv_does(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    titles = HEAD.split(",")
    table = pyarrow.table({title: [row[i] for row in ROWS] for i, title in enumerate(titles)})
    path = tmp_path / "t.parquet"
    parquet.write_table(table, path)
    assert load_dataset(f"parquet:{path}").digest == load_text(tmp_path, csv_of(ROWS)).digest  # type: ignore[attr-defined]

    cases = {
        "missing": pyarrow.table({"a": [1.0, None], "label": [0, 1]}),
        "column 'a' is list": pyarrow.table({"a": [[1], [2]], "label": [0, 1]}),
    }
    for reason, bad in cases.items():
        parquet.write_table(bad, path)
        with pytest.raises(DataError, match=reason):
            load_dataset(f"parquet:{path}")
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="not a readable Parquet"):
        load_dataset(f"parquet:{path}")


def test_network_intrusions() -> None:
    path = DATA / "nsl-kdd" / "KDDTest+.csv.gz"
    if not path.is_file():
        pytest.skip("../shared/data/nsl-kdd is absent")
    data = load_dataset(f"csv:{path}")
    assert len(data) == 22_544
    assert data.classes == 38
    assert float(data.x.min()) == 0.0
    assert float(data.x.max()) == 1.0
