import pytest

from core.errors import StudioError
from core.models import catalogue, embedded


def test_embedded_local_and_hub_models_are_offered_in_that_order(settings):
    (settings.models_dir / "mine").mkdir()
    (settings.models_dir / "mine" / "config.json").write_text("{}")
    (settings.models_dir / "no-model").mkdir()
    names = [model.name for model in catalogue.available(settings)]
    assert names[:2] == [embedded.NAME, "mine"]
    assert names[2:] == list(catalogue.LLAMA_2)
    assert {"meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-13b-chat-hf"} <= set(names)


def test_a_model_is_found_by_name(settings, studio):
    assert catalogue.find(settings, embedded.NAME).path == str(embedded.folder(settings))
    assert catalogue.find(settings, " someone/thing ").path == "someone/thing"
    assert not catalogue.find(settings, "someone/thing").local


@pytest.mark.parametrize(
    "name", ["", "nothing", "../x", "/etc", "a/b/c", "a\\b", "-x", "https://x/y", "a/../b", "a//b"]
)
def test_what_is_no_model_is_a_sentence_that_says_what_is(settings, name):
    with pytest.raises(StudioError, match=r"Hub id|cannot be used"):
        catalogue.find(settings, name)


def test_a_folder_without_a_config_is_told(settings):
    (settings.models_dir / "half").mkdir()
    with pytest.raises(StudioError, match=r"no config\.json"):
        catalogue.find(settings, "half")
