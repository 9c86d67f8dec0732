"""Recognition of chat exports, in which each row is one message: its speaker, its text, and its time or its reply."""

import itertools
from statistics import median
from typing import Any

from core.data.formats.columns import Row, find_column
from core.data.formats.proposal import Columns, Rows
from core.data.formats.speaker_order import identity_of
from core.data.formats.values import is_missing, nested

_SPEAKER_NAMES = (
    "user", "author", "sender", "speaker", "from", "name", "username", "user_name", "author_name", "sender_name",
    "from_name", "display_name", "nick", "nickname", "handle", "screen_name", "user_id", "author_id", "sender_id",
    "from_id", "from_user",
)  # fmt: skip
_TEXT_NAMES = ("text", "content", "message", "body", "msg", "utterance", "message_text", "mes")
_REPLY_NAMES = (
    "reply_to", "reply_to_id", "in_reply_to", "in_reply_to_id", "in_reply_to_status_id", "in_response_to", "thread_ts",
    "in_response_to_tweet_id", "response_tweet_id", "reply_to_message_id", "parent_message_id", "thread", "channel",
    "channel_id", "room", "chat",
)  # fmt: skip
_TIME_NAMES = (
    "ts", "timestamp", "time", "date", "datetime", "date_time", "created_at", "created", "sent_at", "sent", "posted_at",
    "send_date", "timestamp_ms", "start_time", "start", "begin", "start_ms", "timecode", "offset", "end_time",
)  # fmt: skip
# Columns that only the messages of a chat have: what is attached to them, and how others reacted.
_CHAT_NAMES = (
    "attachments", "reactions", "mentions", "stickers", "embeds", "is_bot", "ispinned", "edited_timestamp",
    "timestamp_edited", "reply_count", "reply_users", "forwarded_from", "media_type", "client_msg_id",
)  # fmt: skip
# Names of a speaker that nothing but a conversation has, so that it needs no time.
_SURE_SPEAKER_NAMES = ("speaker", "speaker_name", "speaker_id", "speaker_role", "speaker_label")
# The speakers of a chat come back; the authors of articles or reviews hardly do, or their texts are longer.
_MIN_MESSAGES_PER_SPEAKER = 2
_MAX_CHARACTERS = 400


def chat_doubt(rows: Rows, found: Columns) -> str:
    """Return the doubt that each row is one message of a chat export; "" where it is not."""
    filled = [name for name in found if found[name].kind != "empty"]
    prose = [name for name in filled if found[name].kind == "prose"]
    content = find_column(filled, _TEXT_NAMES)
    if not content and len(prose) == 1 and find_column(filled, _SURE_SPEAKER_NAMES):
        content = prose[0]
    speaker = find_column([name for name in filled if name != content], _SPEAKER_NAMES)
    rest = [name for name in filled if name not in (content, speaker)]
    if not content or not speaker:
        return ""
    if not find_column([speaker], _SURE_SPEAKER_NAMES) and not find_column(rest, _REPLY_NAMES + _TIME_NAMES):
        return ""
    messages = [(_name(row[speaker]), str(row[content])) for row in rows if _has(row, speaker) and _has(row, content)]
    speakers = {name for name, _ in messages}
    turns = sum(one[0] != next_one[0] for one, next_one in itertools.pairwise(messages))
    # Beside such columns, it is enough that one speaker comes back: in a channel many people write once.
    is_sure = bool(find_column(list(found), _CHAT_NAMES)) and len(messages) > len(speakers)
    if (
        len(speakers) < 2
        or (not is_sure and len(messages) < _MIN_MESSAGES_PER_SPEAKER * len(speakers))
        or turns < len(speakers) - is_sure
        or median(len(text) for _, text in messages) > _MAX_CHARACTERS
    ):
        return ""
    return (
        f"each row is one message (columns {speaker!r} and {content!r}); put all messages of a conversation, "
        "in order, into one row as a list of objects with role and content"
    )


def _name(speaker: Any) -> str:
    # Discord has an object for each author.
    return identity_of(nested(speaker)) or str(speaker)


def _has(row: Row, name: str) -> bool:
    return name in row and not is_missing(row[name])
