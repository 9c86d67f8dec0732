"""Bounded memory per open page.

Gradio copies the configuration of every component for each page (0.7 MB and 0.1 s of CPU for ours). Here nothing is
copied. Of too many open pages, studio/open_pages.py chooses those that are dropped. studio/unread_messages.py bounds
the messages.
"""

from typing import Any

from gradio import routes, state_holder
from gradio.blocks import Blocks
from gradio.state_holder import SessionState, StateHolder

from studio.unread_messages import UnreadMessages


class LightSession(SessionState):
    """Gradio's state of one page without the record of what each component shows.

    Gradio keeps that record for deep links, which are closed here (studio/middleware.py).
    """

    def __init__(self, blocks: Blocks):
        """Create the state of a page of `blocks`."""
        super().__init__(_NoComponents(blocks))

    def __setitem__(self, key: int, value: Any) -> None:
        """Store a value, and nothing of its component."""
        super().__setitem__(key, value)
        self.config_values.clear()

    def _update_config(self, key: int) -> None:
        """Record nothing."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Record nothing."""


class _NoComponents:
    """Blocks as Gradio's session state reads them: the default configuration, and no component to copy."""

    def __init__(self, blocks: Blocks):
        self.default_config, self.blocks = blocks.default_config, {}


class FairSessions(StateHolder):
    """Gradio's states of all pages, which drops those of visitors first, and of the network with the most.

    Gradio itself drops the page that was used longest ago, so that many pages of one visitor could displace all others.
    """

    def update(self, session_id: str) -> None:
        """Mark a page as used last, and drop others beyond the capacity."""
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)
            while len(self.session_data) > self.capacity and (dropped := self._choose(session_id)):
                self.session_data.pop(dropped)
                self.time_last_used.pop(dropped, None)

    def _choose(self, latest: str) -> str | None:
        """Return the page to drop to keep the latest one.

        None if the latest is a visitor's and all others are the owner's, which only another page of the owner replaces.
        """
        pages, owners = self.blocks.open_pages, self.blocks.session_owners
        others = [name for name in self.session_data if name != latest]
        if chosen := pages.choose_page_to_drop(others, lambda session: owners.get(session, "")):
            return chosen
        return next(iter(others), None) if pages.is_owners(latest) else None


def limit_session_memory(blocks: Blocks) -> None:
    """Let all pages of `blocks` use light, fairly dropped sessions and bounded messages, once its queue exists."""
    state_holder.SessionState = LightSession
    # The app that Gradio creates at the launch takes the class from this module.
    routes.StateHolder = FairSessions
    blocks._queue.pending_messages_per_session = UnreadMessages(
        blocks._queue, caller_of=lambda session: blocks.session_owners.get(session, session), pages=blocks.open_pages
    )
