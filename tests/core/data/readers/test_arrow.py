"""Arrow files, streams and Feather files: read like Parquet, or refused with what to do."""

import pyarrow as pa
import pyarrow.feather
import pytest

from core.data.readers import read_rows
from core.errors import StudioError

ROWS = [{"prompt": f"Why is it {i}?", "turns": [{"role": "user", "content": str(i)}], "share": 0.1} for i in range(250)]
TABLE = pa.Table.from_pylist(ROWS).set_column(2, "share", pa.array([0.1] * 250, pa.float32()))


def write(path, kind):
    if kind.startswith("feather"):
        pyarrow.feather.write_feather(TABLE, str(path), compression=kind.partition(" ")[2])
        return
    new = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with pa.OSFile(str(path), "wb") as sink, new(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=120)


@pytest.mark.parametrize("kind", ["file", "stream", "feather lz4", "feather zstd", "feather uncompressed"])
def test_read_arrow_gives_the_rows(tmp_path, kind):
    path = tmp_path / ("rows.feather" if "feather" in kind else "rows.arrow")
    write(path, kind)
    shares = []
    read = list(read_rows(path, path.name, shares.append))
    assert [one.row for one in read] == ROWS
    assert [one.line for one in read] == list(range(1, 251))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_read_arrow_cut_short_is_refused(tmp_path, kind, keep):
    path = tmp_path / "rows.arrow"
    write(path, kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(StudioError, match=r"not a readable Arrow file .* Save its rows as \.parquet"):
        list(read_rows(path, path.name))


def test_read_arrow_with_wrong_offsets_is_refused_before_a_value_is_used(tmp_path):
    path = tmp_path / "rows.arrow"
    batch = pa.record_batch({"text": ["a text of so many letters as no other"]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    end = len(batch["text"][0].as_py())
    good, wrong = ((0).to_bytes(4, "little") + size.to_bytes(4, "little") for size in (end, 2**30))
    data = path.read_bytes()
    # The offsets are one of the places that hold these two numbers.
    at = data.rindex(good)
    path.write_bytes(data[:at] + wrong + data[at + len(wrong) :])
    with pytest.raises(StudioError, match="not a readable Arrow file"):
        list(read_rows(path, path.name))


def test_read_arrow_of_too_many_columns_or_of_text_is_refused(tmp_path):
    wide = pa.table({f"c{i}": ["x"] for i in range(10_001)})
    path = tmp_path / "rows.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, wide.schema) as writer:
        writer.write_table(wide)
    with pytest.raises(StudioError, match="10,001 columns"):
        list(read_rows(path, path.name))
    path.write_text("hello")
    with pytest.raises(StudioError, match="not a readable Arrow file"):
        list(read_rows(path, path.name))
