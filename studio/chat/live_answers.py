"""The texts of answers while they are written, for the pages that show them.

A page asks a few times per second for what it does not have yet (components/static/live_texts.js). A caller who
knows the random id of a conversation may read it, here as everywhere in the Chat tab.
"""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from components.chat_board import LIVE_PATH
from core.access.roles import Role
from core.chat.turns import MAX_LANES
from studio.chat.chat_html import growing_cards
from studio.chat.conversations import Conversations

# Often enough to read the text while it grows, and so rarely that the browser leaves the processor to the model.
SECONDS_BETWEEN_READS = 0.25
# While a training run needs the same processors: at least these seconds between two reads of one page, and at most this
# many reads per second of all pages together.
THROTTLED_SECONDS, THROTTLED_READS_OF_ALL_PAGES = 2.0, 4
_MAX_KNOWN_CHARACTERS = 1_000
_BAD_KNOWN = f"Send the numbers of characters of at most {MAX_LANES} cards: known={{KEY: CHARACTERS}}."


class LiveAnswers:
    """The answers in progress of all conversations, as pages read them."""

    def __init__(self, conversations: Conversations):
        """Take the conversations to read."""
        self._conversations = conversations

    def read(self, live_key: str, known: dict[str, int]) -> dict[str, Any] | None:
        """Return the cards of a conversation that are being written, and the seconds to wait until the next read.

        Args:
            live_key: `AnswersInProgress.live_key`; with the key of earlier answers, the
                current ones are returned from their beginning.
            known: Number of characters that the page has, by card.

        Returns:
            None if no answer is being written.
        """
        answers = self._conversations.in_progress(live_key.partition(" ")[0])
        if answers is None:
            return None
        known = known if live_key == answers.live_key else {}
        return {"wait": self._seconds_to_wait(), "cards": growing_cards(answers, known)}

    def _seconds_to_wait(self) -> float:
        if not self._conversations.engine.throttle.is_active:
            return SECONDS_BETWEEN_READS
        return max(THROTTLED_SECONDS, self._conversations.count_in_progress() / THROTTLED_READS_OF_ALL_PAGES)

    def route(self, blocks: Any) -> Route:
        """Return the HTTP route.

        Args:
            blocks: Identifies the caller (`AuthorizedBlocks`).
        """

        async def answer(request: Request) -> Response:
            if blocks.caller_of(request).role is Role.SIGNED_OUT:
                return JSONResponse({"error": "Sign in first."}, 401)
            known = _read_known(request.query_params.get("known", ""))
            if known is None:
                return JSONResponse({"error": _BAD_KNOWN}, 400)
            found = self.read(request.headers.get("x-live", ""), known)
            return JSONResponse(found, headers={"cache-control": "no-store"}) if found else Response(status_code=204)

        return Route(LIVE_PATH, answer, methods=["GET"])


def _read_known(text: str) -> dict[str, int] | None:
    """Return the numbers of characters that a page has; None if they are malformed."""
    if len(text) > _MAX_KNOWN_CHARACTERS:
        return None
    try:
        known = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    is_right = isinstance(known, dict) and len(known) <= MAX_LANES and all(type(n) is int for n in known.values())
    return known if is_right else None
