"""Settings of the studio, and names that may become paths."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StudioError
from core.settings import Settings, hardware, inside, slug


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("root")


@given(name=st.one_of(st.text(), st.from_regex(r"[./\\a~%-]{1,12}", fullmatch=True)))
def test_inside_returns_path_below_root_or_raises(root, name):
    try:
        path = inside(root, name)
    except StudioError:
        return
    assert path.parent == root
    assert os.path.normpath(path) == str(path)
    assert not name.startswith(("-", "."))


@pytest.mark.parametrize(
    "name",
    ["..", "../x", "/etc/passwd", "a/b", "a\\b", "a\0b", "-rf", ".hidden", "", "a" * 101, "a..b", "ａ", "x\n", None],
)
def test_inside_rejects_special_names(root, name):
    with pytest.raises(StudioError, match="cannot be used as a name"):
        inside(root, name)


def test_inside_rejects_link_out_of_root(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "way-out").symlink_to(tmp_path)
    with pytest.raises(StudioError, match="is a link out of inner"):
        inside(tmp_path / "inner", "way-out")


@given(st.text())
def test_slug_is_accepted_by_inside(root, text):
    assert inside(root, slug(text)).parent == root


def test_prepare_reports_unwritable_home(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StudioError, match="Set STUDIO_HOME"):
        Settings(home=tmp_path / "file").prepare()


def test_settings_are_read_from_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "here"))
    monkeypatch.setenv("STUDIO_PASSWORD", "secret-word")
    settings = Settings().prepare()
    assert settings.runs_dir == tmp_path / "here" / "runs"
    assert settings.runs_dir.is_dir()
    assert "secret-word" not in repr(settings)


def test_hardware_does_not_import_torch():
    assert "cores" in hardware().description
    assert hardware().device in ("cpu", "cuda")
