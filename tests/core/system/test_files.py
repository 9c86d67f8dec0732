"""Files that are replaced as a whole."""

import pytest

from core.system.files import file_size, read_json, replacing, sha256_of, write_json


def test_failed_write_keeps_old_file_and_leaves_no_scratch(tmp_path):
    path = tmp_path / "state.json"
    write_json(path, {"step": 1})

    def fail_half_way():
        with replacing(path) as temporary:
            temporary.write_text("half of")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert read_json(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_write_text_replaces_file_in_any_script(tmp_path):
    path = tmp_path / "deep" / "state.json"
    with replacing(path) as temporary:
        temporary.write_text('"прилив"', encoding="utf-8")
        assert not path.exists()
    assert read_json(path) == "прилив"


def test_write_json_of_invalid_value_keeps_old_file(tmp_path):
    path = tmp_path / "state.json"
    write_json(path, 1)
    with pytest.raises(TypeError, match="set is not JSON serializable"):
        write_json(path, {1, 2})
    assert read_json(path) == 1


def test_sha256_of_matches_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea")


def test_file_size_is_0_without_file(tmp_path):
    assert file_size(tmp_path / "a") == 0
    (tmp_path / "a").write_bytes(b"abc")
    assert file_size(tmp_path / "a") == 3
