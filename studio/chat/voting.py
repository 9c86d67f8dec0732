"""Votes from the page: which of two answers is better, with undo, a tally and an export."""

import html
from typing import Any

import gradio as gr

from components.chat_board import VERDICTS
from components.conversation import empty_html
from core.access import roles
from core.chat import votes
from core.chat.conversation import Conversation
from core.chat.votes import Tally, Vote
from core.errors import StudioError
from core.settings import slug
from studio.chat.chat_actions import Talking
from studio.chat.chat_html import shown_name


class Voting:
    """What this part does; names no widget's layout."""

    def __init__(self, talking: Talking):
        self.talking, self.settings = talking, talking.settings

    def vote(self, chat_id: str, verdict: str, show: list[str]) -> list[Any]:
        """Vote on the last question's two answers: the conversation, and the tally."""
        if verdict not in VERDICTS:
            raise StudioError(f"{verdict!r} is no vote. Votes are: {', '.join(VERDICTS)}.")
        with self.talking.changing(chat_id) as kept:
            turn = kept.turns[-1] if kept.turns else None
            answers = [turn.shown(lane) for lane in turn.order if lane < len(kept.lanes)] if turn else []
            if turn is None or len(answers) != 2 or not all(answer and answer.text for answer in answers):
                raise StudioError("A vote compares two answers: choose two lanes, and ask something.")
            if turn.verdict:
                raise StudioError("You voted on these answers already. Undo that vote first.")
            messages = kept.asked(turn.order[0])
            votes.add(self._file(kept), Vote(
                chat=chat_id, turn=turn.id, messages=messages, answers=answers, verdict=verdict, blind=turn.blind,
            ))  # fmt: skip
            turn.verdict, turn.chosen = verdict, shown_name({"left": answers[0], "right": answers[1]}.get(verdict))
        return [*self.talking.drawn(chat_id, show), self.tally(chat_id)]

    def unvote(self, chat_id: str, at: int, show: list[str]) -> list[Any]:
        """Take the vote on one question back."""
        with self.talking.changing(chat_id) as kept:
            if not 0 <= at < len(kept.turns) or not kept.turns[at].verdict:
                raise StudioError("There is no vote to take back here.")
            votes.undo(self._file(kept), chat_id, kept.turns[at].id)
            kept.turns[at].verdict = kept.turns[at].chosen = ""
        return [*self.talking.drawn(chat_id, show), self.tally(chat_id)]

    def tally(self, chat_id: str) -> str:
        """All votes on this base model so far, from every conversation."""
        found = self._open(votes.read(self._file(self.talking.find(chat_id))))
        if not found:
            return empty_html("No votes yet. With two lanes, vote under their answers, or press 1, 2, 3 or 4.")
        rows = "".join(_row(one) for one in votes.tally(found))
        note = votes.side_note(found)
        head = "".join(f"<th>{words}</th>" for words in ("", "against", "won", "lost", "tie", "both bad", "share won"))
        return f'<div class="qs-differ"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>' + (
            f'<div class="qs-alert">{html.escape(note)}</div>' if note else ""
        )

    def _open(self, found: list[Vote]) -> list[Vote]:
        """Those on runs that the caller may see."""
        if roles.caller().is_owner:
            return found
        seen = {"", *(run.id for run in self.talking.engine.store.runs())}
        return [vote for vote in found if all(answer.run in seen for answer in vote.answers)]

    def as_preferences(self, chat_id: str) -> str:
        """The votes with a winner as a preference data set, a file in exports."""
        kept = self.talking.find(chat_id)
        rows = votes.preferences(votes.read(self._file(kept)))
        if not rows:
            raise StudioError("No vote has a winner yet, so there is nothing to export.")
        path = self.settings.exports_dir / f"{slug(kept.base, 'base')}-preferences.jsonl"
        path.write_text(votes.as_jsonl(rows), encoding="utf-8")
        return str(path)

    def be_blind(self, chat_id: str, blind: bool) -> None:
        with self.talking.changing(chat_id) as kept:
            kept.blind = bool(blind)

    def blindness(self, chat_id: str) -> Any:
        return gr.update(value=self.talking.find(chat_id).blind)

    def _file(self, kept: Conversation):
        return votes.votes_path(self.settings, kept.base)


def _row(one: Tally) -> str:
    share = f"{one.share:.0%} (95 %: {one.low:.0%} to {one.high:.0%})" if one.wins + one.losses else "–"
    cells = (one.first, one.second, one.wins, one.losses, one.ties, one.both_bad, share)
    return "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>"
