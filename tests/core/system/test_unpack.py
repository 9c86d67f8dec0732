"""Unpacking of zips: any bytes are unpacked into the folder alone, or refused with a sentence."""

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StudioError
from core.system import unpack as unpacking
from core.system.unpack import unpack

# Parts of names that mean something to a file system, a shell or `pathlib`.
PARTS = ["", ".", "..", "a", "b", "/", "//", "\\", "C:", "~", "\0", "\n", "é", "x" * 300, "CON", " "]
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def pack(path, names, method=zipfile.ZIP_DEFLATED, content=bytes(range(256))):
    """Write a zip of files with these names and return its path; `zipfile` itself writes no empty one."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in names:
            archive.writestr(name.partition("\0")[0] or ".", content)
    return path


def unpack_inside(archive, around):
    """Unpack a zip, or have it refused; nothing may appear beside the folder."""
    folder = around / "deep" / "folder"
    folder.mkdir(parents=True)
    before = {path for path in around.rglob("*") if not path.is_relative_to(folder)}
    made, refusal = [], "."
    try:
        made = unpack(archive, folder, 10**6)
    except StudioError as error:
        refusal = str(error)
    assert refusal.endswith(".")
    assert refusal.isprintable()
    assert all(path.resolve().is_relative_to(folder.resolve()) for path in made)
    assert {path for path in around.rglob("*") if not path.is_relative_to(folder)} == before
    return {path.relative_to(folder).as_posix() for path in made}


@given(st.lists(st.lists(st.sampled_from(PARTS), max_size=4).map("/".join), min_size=1, max_size=3))
def test_any_names_stay_inside_the_folder(tmp_path_factory, names):
    around = tmp_path_factory.mktemp("zip")
    unpack_inside(pack(around / "x.zip", names), around)


@pytest.mark.parametrize("slashes", ["//", "///", "/.//"])
def test_first_folder_is_removed_as_a_part_of_the_path(tmp_path, slashes):
    """As text, the name without its first folder is an absolute path."""
    archive = pack(tmp_path / "x.zip", [f"folder{slashes}{str(tmp_path).lstrip('/')}/escaped"])
    assert unpack_inside(archive, tmp_path) == {f"{str(tmp_path).lstrip('/')}/escaped"}


@given(st.data())
def test_damaged_zip_is_refused_with_a_sentence(tmp_path_factory, data):
    around = tmp_path_factory.mktemp("zip")
    method = data.draw(st.sampled_from(METHODS))
    whole = bytearray(pack(around / "x.zip", ["d/ä.txt", "d/b"], method).read_bytes())
    places = st.integers(0, len(whole) - 1) | st.integers(max(0, len(whole) - 200), len(whole) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=5)):
        whole[place] = data.draw(st.sampled_from([0, 255, ord("/"), ord(".")]) | st.integers(0, 255))
    (around / "x.zip").write_bytes(whole)
    unpack_inside(around / "x.zip", around)


def test_empty_name_is_refused(tmp_path):
    whole = pack(tmp_path / "x.zip", ["a"]).read_bytes()
    # The length of the name is at the end of the fixed part of an entry, before the file and in the list.
    made = bytearray(whole.replace(b"a", b"", 2))
    made[26] = 0
    made[made.index(b"PK\x01\x02") + 28] = 0
    # The list begins one byte earlier, and is one byte shorter.
    end = made.index(b"PK\x05\x06")
    made[end + 12 : end + 16] = (int.from_bytes(made[end + 12 : end + 16], "little") - 1).to_bytes(4, "little")
    made[end + 16 : end + 20] = (int.from_bytes(made[end + 16 : end + 20], "little") - 1).to_bytes(4, "little")
    (tmp_path / "x.zip").write_bytes(made)
    assert unpack_inside(tmp_path / "x.zip", tmp_path) == set()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "a/b"], "as a file and as a folder"),
        (["x" * 256], "no name of a file"),
        (["/".join(["ab"] * 1001)], "no name of a file"),
        (["a\x1b[31m"], "no name of a file"),
        (["d/a", "d//a"], "twice"),
        (["d/a", "../a"], "leads out"),
    ],
)
def test_names_that_are_no_files_are_refused(tmp_path, names, words):
    (tmp_path / "folder").mkdir()
    with pytest.raises(StudioError, match=words):
        unpack(pack(tmp_path / "x.zip", names), tmp_path / "folder", 10**6)


def test_long_list_of_names_is_not_read(tmp_path, monkeypatch):
    """`zipfile` reads the whole list and makes an object of each entry, before any of them can be counted."""
    monkeypatch.setattr(unpacking, "_MAX_LIST_BYTES", 2**17)
    (tmp_path / "folder").mkdir()
    archive = pack(tmp_path / "x.zip", [f"{number}" for number in range(3_000)], content=b"")
    with pytest.raises(StudioError, match=r"its list of files has more than 128\.0 KiB"):
        unpack(archive, tmp_path / "folder", 10**6)


def test_whole_zip_is_unpacked_without_its_first_folder(tmp_path):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.mkdir("top")
        archive.writestr("top/a.txt", "A")
        archive.writestr("top/deep/b.txt", "B")
    (tmp_path / "x.zip").write_bytes(whole.getvalue())
    assert unpack_inside(tmp_path / "x.zip", tmp_path) == {"a.txt", "deep/b.txt"}
