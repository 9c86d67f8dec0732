"""The settings form: shared settings, a lane's own, and values out of bounds."""

import pytest

from core.chat.sampling import Sampling
from core.errors import StudioError
from studio.chat.model_picker import ALL_LANES

DEFAULTS = Sampling().model_dump()


def test_save_one_lane_keeps_only_what_differs(parts, tuned, chat):
    tuned()
    chat_id = chat()
    parts.settings.save(chat_id, ALL_LANES, DEFAULTS | {"seed": 3})
    shown = parts.settings.switch_scope(chat_id, ALL_LANES, "Model 2", **DEFAULTS | {"seed": 4})
    assert shown == {"form_scope": "Model 2", **DEFAULTS, "seed": 4}, "a lane starts with the shared settings"
    parts.settings.save(chat_id, "Model 2", DEFAULTS | {"seed": 4, "temperature": 0})
    conversation = parts.conversations.find(chat_id)
    assert conversation.lanes[1].own == {"temperature": 0}
    assert (conversation.sampling(0).temperature, conversation.sampling(1).temperature) == (DEFAULTS["temperature"], 0)
    assert conversation.sampling(0).seed == conversation.sampling(1).seed == 4


@pytest.mark.parametrize("values", [{"temperature": 9}, {"max_new_tokens": 0}, {"top_p": 0}, {"seed": 0.5}])
def test_save_invalid_setting_is_named_with_title_and_group(parts, chat, values):
    [(name, value)] = values.items()
    title, chat_id = Sampling.model_fields[name].title, chat()
    with pytest.raises(StudioError, match=rf"{title} \(under Settings\).*given: {value}"):
        parts.settings.save(chat_id, ALL_LANES, DEFAULTS | values)
    with pytest.raises(StudioError, match=rf"{title} \(under Settings\) is empty"):
        parts.settings.save(chat_id, ALL_LANES, DEFAULTS | {name: None})
