"""Base models that are offered and found by name: embedded, local folders and Hub ids."""

import pytest

from core.errors import StudioError
from core.models import catalogue, embedded


def test_available_lists_embedded_local_and_hub_models_in_order(settings):
    (settings.models_dir / "mine").mkdir()
    (settings.models_dir / "mine" / "config.json").write_text("{}")
    (settings.models_dir / "no-model").mkdir()
    names = [model.name for model in catalogue.available(settings)]
    assert names[:2] == [embedded.NAME, "mine"]
    assert names[2:] == list(catalogue.LLAMA_2)
    assert {"meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-13b-chat-hf"} <= set(names)


def test_find_returns_embedded_and_hub_models_by_name(settings, studio):
    assert catalogue.find(settings, embedded.NAME).path == str(embedded.folder(settings))
    assert catalogue.find(settings, " someone/thing ").path == "someone/thing"
    assert not catalogue.find(settings, "someone/thing").local


def test_locate_embedded_model_that_is_not_converted_does_not_wait_for_it(settings):
    assert catalogue.locate(settings, embedded.NAME).local
    assert not embedded.is_prepared(settings)


@pytest.mark.parametrize(
    "name", ["", "nothing", "../x", "/etc", "a/b/c", "a\\b", "-x", "https://x/y", "a/../b", "a//b"]
)
def test_find_invalid_name_is_rejected_with_what_is_accepted(settings, name):
    with pytest.raises(StudioError, match=r"Hub id|cannot be used"):
        catalogue.find(settings, name)


def test_find_folder_without_config_is_rejected(settings):
    (settings.models_dir / "half").mkdir()
    with pytest.raises(StudioError, match=r"no config\.json"):
        catalogue.find(settings, "half")


def test_available_lists_linked_folder_with_a_usable_name(tmp_path, settings):
    for name in ("elsewhere", "with space"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (settings.models_dir / name).symlink_to(tmp_path / name)
    offered = [model.name for model in catalogue.available(settings) if model.local]
    assert "elsewhere" in offered
    assert "with space" not in offered
    assert catalogue.find(settings, "elsewhere").local
