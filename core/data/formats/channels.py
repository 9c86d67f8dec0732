"""Turns of the channel "analysis" (Harmony, the format of gpt-oss): reasoning that belongs to the answer after it."""

from typing import Any

from core.data.formats.conversation import UnusableRow

_REASONING_CHANNELS = ("analysis", "thinking", "reasoning")


def join_channels(turns: list[Any]) -> list[Any]:
    """Return `turns` with each turn of reasoning as the field `reasoning_content` of the answer that follows it.

    Raises:
        UnusableRow: No answer follows, or the reasoning is no text.
    """
    if not any(isinstance(turn, dict) and "channel" in turn for turn in turns):
        return turns
    joined: list[Any] = []
    waiting: list[str] = []
    for turn in turns:
        channel = str(turn.get("channel")).lower() if isinstance(turn, dict) else ""
        if channel in _REASONING_CHANNELS:
            text = next((turn[key] for key in ("content", "text", "value") if isinstance(turn.get(key), str)), None)
            if text is None:
                raise UnusableRow(f"a turn of the channel {channel!r} holds no text")
            waiting.append(text)
            continue
        if waiting:
            if not isinstance(turn, dict) or not turn.get("channel") or turn.get("reasoning_content"):
                break
            turn = {**turn, "reasoning_content": "\n\n".join(waiting)}
            waiting = []
        # The channel of the answer itself says nothing more.
        joined.append({key: value for key, value in turn.items() if key != "channel"} if channel == "final" else turn)
    if waiting:
        raise UnusableRow(
            "a turn of the channel 'analysis' is reasoning, and no answer with a channel follows it; "
            "put it into the field reasoning_content of the answer"
        )
    return joined
