import pytest

from core.data import table
from core.data.readers import BadLine
from core.data.table import Rows, Source, ingest
from core.errors import StudioError

GOOD = {"text": "### Human: What is a tide?### Assistant: The sea, breathing."}
ASKS = {"text": "### Human: Anybody there?"}


def source(key="k" * 64, name="some file.jsonl"):
    return Source(kind="upload", name=name, key=key)


def test_rows_are_counted_by_what_can_be_learned(settings):
    rows = [GOOD, ASKS, {"text": None}, BadLine("line 4 is not JSON"), {"text": GOOD["text"] + "### Human: And then?"}]
    about = ingest(settings, source(), (("train", row) for row in rows))
    assert (about.rows, about.usable, about.ends_on_user) == (5, 2, 1)
    assert about.problems == {"no answer": 1, "text is empty": 1, "cannot be read": 1}
    assert about.unreadable == ["line 4 is not JSON"]
    assert about.id == "some-file-kkkkkkkk"
    assert table.find(settings, about.id) == about


def test_pages_and_rows(settings):
    rows = [GOOD | {"n": n} for n in range(60)] + [ASKS]
    view = Rows(settings, ingest(settings, source(), (("train", row) for row in rows)).id)
    assert view.page(0, 25).row.tolist() == list(range(25))
    last = view.page(50, 25)
    assert last.row.tolist() == list(range(50, 61))
    assert last.prompt.iloc[0] == "What is a tide?"
    assert last.answer.iloc[0] == "The sea, breathing."
    assert last.problem.iloc[-1] == "no answer"
    assert view.row(7)["raw"].endswith('"n": 7}')
    assert len(list(view.usable())) == len(view.usable_numbers("train")) == 60
    with pytest.raises(StudioError, match="0 to 60"):
        view.row(61)


def test_nothing_is_left_when_reading_fails_half_way(settings):
    def rows():
        for _ in range(2000):
            yield "train", GOOD
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        ingest(settings, source(), rows())
    assert [path.name for path in settings.datasets_dir.iterdir()] == [".lock"]


def test_a_data_set_opened_before_is_not_read_again(settings):
    first = ingest(settings, source(), [("train", GOOD)])
    path = settings.datasets_dir / first.id / "rows.parquet"
    written = path.stat().st_mtime_ns
    assert ingest(settings, source(), iter(())) == first
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "it holds no rows"),
        ([BadLine("line 1 is not JSON")], "line 1 is not JSON"),
        ([{"weight": 3}], "columns: weight"),
    ],
)
def test_what_holds_no_conversations_is_a_sentence(settings, rows, words):
    with pytest.raises(StudioError, match=words):
        ingest(settings, source(), (("train", row) for row in rows))
    assert table.opened_datasets(settings) == []


def test_half_characters_do_not_stop_a_file(settings):
    about = ingest(settings, source(), [("train", {"text": "### Human: a\ud800b### Assistant: c\udfff"})])
    (_, _, messages) = next(Rows(settings, about.id).usable())
    assert [m["content"] for m in messages] == ["a\ufffdb", "c\ufffd"]


@pytest.mark.parametrize("name", ["nothing", "../datasets", "", "a/b"])
def test_only_open_data_sets_are_found(settings, name):
    with pytest.raises(StudioError):
        Rows(settings, name)
