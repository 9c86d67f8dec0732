"""Votes on two answers: cast, undo, tally, and export as preference data."""

from collections import Counter
from pathlib import Path
from typing import Any

import gradio as gr

from components.chat_board import VERDICTS
from components.conversation import empty_html
from core.access import roles
from core.chat import votes
from core.chat.conversation import Conversation
from core.chat.vote_log import VoteLog
from core.chat.votes import Ballot, Vote
from core.errors import StudioError
from core.settings import slug
from studio.chat.chat_actions import ChatActions
from studio.chat.chat_html import answer_name, tally_html
from studio.chat.view import Updates
from studio.handlers import info


class Voting:
    """Event handlers of votes."""

    def __init__(self, actions: ChatActions):
        self.actions, self.conversations = actions, actions.conversations
        self.settings, self.log = actions.conversations.settings, VoteLog()

    def vote(self, chat_id: str, verdict: str, show: list[str]) -> Updates:
        """Vote on the last turn's two answers.

        Args:
            chat_id: The conversation.
            verdict: One of `VERDICTS`.
            show: Options of "Show in the answers" that are ticked.
        """
        if verdict not in VERDICTS:
            raise StudioError(f"{verdict!r} is not a vote. Choose one of: {', '.join(VERDICTS)}.")
        with self.conversations.change(chat_id) as chat:
            turn = chat.turns[-1] if chat.turns else None
            # In the order on the screen, which a blind turn shuffles: the first is "left".
            lanes = [lane for lane in turn.order if lane < len(chat.lanes)] if turn else []
            answers = [turn.shown(lane) for lane in lanes]
            if turn is None or len(answers) != 2 or not all(answer and answer.text for answer in answers):
                raise StudioError("A vote compares two answers. Set Models to 2 and ask a question.")
            if turn.verdict:
                raise StudioError("You voted on these answers already. Undo that vote first.")
            left, right = (chat.asked(lane) for lane in lanes)
            # The vote is on disk before the conversation says so: a crash in between loses neither.
            self.log.add(self._path(chat), Vote(
                chat=chat_id, turn=turn.id, messages=left, right_messages=right, answers=answers, verdict=verdict,
                blind=turn.blind,
            ))  # fmt: skip
            chosen = {"left": answers[0], "right": answers[1]}.get(verdict)
            turn.verdict, turn.chosen = verdict, answer_name(chosen, self._titles())
        return self.actions.render_view(chat_id, show) | self.tally(chat_id)

    def undo_vote(self, chat_id: str, turn: int, show: list[str]) -> Updates:
        """Remove the vote on a turn."""
        with self.conversations.change(chat_id) as chat:
            if not 0 <= turn < len(chat.turns) or not chat.turns[turn].verdict:
                raise StudioError("There is no vote to undo here. Vote first.")
            self.log.undo(self._path(chat), chat_id, chat.turns[turn].id)
            chat.turns[turn].verdict = chat.turns[turn].chosen = ""
        return self.actions.render_view(chat_id, show) | self.tally(chat_id)

    def tally(self, chat_id: str) -> Updates:
        """Count all votes on the conversation's base model, from every conversation that the caller may see."""
        found = self._visible(self.log.ballots(self._path(self.conversations.find(chat_id))))
        if not found:
            return {"tally": empty_html("No votes yet. With two models, vote below their answers or press 1 to 4.")}
        verdicts: Counter[str] = Counter()
        for ballot, count in found.items():
            verdicts[ballot.verdict] += count
        return {"tally": tally_html(votes.tally_ballots(found), votes.side_note_of(verdicts), self._titles())}

    def _visible(self, found: Counter[Ballot]) -> Counter[Ballot]:
        """Return the votes on runs that the caller may see; the store lists only those."""
        if roles.caller().is_owner:
            return found
        visible = {"", *(run.id for run in self.conversations.engine.store.runs())}
        return Counter({ballot: count for ballot, count in found.items() if visible.issuperset(ballot.runs)})

    def export_preferences(self, chat_id: str) -> str:
        """Write the votes with a winner as a preference dataset, and return the file's path."""
        chat = self.conversations.find(chat_id)
        rows, left_out = votes.preferences(votes.read(self._path(chat)))
        if not rows and not left_out:
            raise StudioError("No vote has a winner yet, so there is nothing to export. Vote for an answer first.")
        reason = (
            f"{left_out:,} {'vote' if left_out == 1 else 'votes'} with a winner cannot be exported: preference data "
            "has one prompt for both answers, and these lanes had different earlier answers or system prompts."
        )
        if not rows:
            raise StudioError(f"{reason} Vote on the first question of a chat, with one system prompt for both lanes.")
        if left_out:
            info(reason, title="Preference data")
        path = self.settings.exports_dir / f"{slug(chat.base, 'base')}-preferences.jsonl"
        path.write_text(votes.as_jsonl(rows), encoding="utf-8")
        return str(path)

    def set_blind(self, chat_id: str, blind: bool) -> None:
        """Hide names and shuffle sides in the turns to come, or stop doing so."""
        with self.conversations.change(chat_id) as chat:
            chat.blind = bool(blind)

    def blind_update(self, chat_id: str) -> dict[str, Any]:
        """Return `blind`: the checkbox as the conversation has it."""
        return {"blind": gr.update(value=self.conversations.find(chat_id).blind)}

    def _titles(self) -> dict[str, str]:
        return self.conversations.engine.store.titles()

    def _path(self, chat: Conversation) -> Path:
        # Files of earlier versions are named by the label of that time.
        base = chat.base_identity
        return votes.votes_path(self.settings, base.legacy_label if base else chat.base)
