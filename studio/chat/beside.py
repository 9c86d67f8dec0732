"""Beside the conversation: questions to ask, why an answer was given, what the models read, and files to take away."""

import contextlib
import random
import time
from typing import Any

import gradio as gr

from components.chat_board import invitation_html
from components.conversation import empty_html, raw_html
from components.data_table import TableColumn, TablePage, TableRow, table_html
from core.access import roles
from core.chat import nearest, transcript
from core.data import sources, subset, table
from core.data.table import HELD_OUT
from core.errors import StudioError
from core.models.loading import load_tokenizer
from core.runs.store import Run
from core.settings import slug
from studio.chat.chat_actions import Talking
from studio.handlers import info

_OFFERED = 4
_SUGGESTED = 3  # of them on the board, before the first question
_INVITES = (
    "Every lane answers the same question at the same time, side by side; then you vote for the better answer, or ask "
    "on. Click a question to ask it now, or write your own below."
)
_FIRST = "The first question loads the model, which takes a few seconds."
_LONGEST = 90  # characters of a question on its button


class Beside:
    """What this part does; names no widget's layout."""

    def __init__(self, talking: Talking):
        self.talking, self.settings, self.store = talking, talking.settings, talking.engine.store

    # Questions

    def questions(self, chat_id: str) -> tuple[Any, list[list[str]], str]:
        """Questions of held-out rows: of a lane's run, or of the bundled data; with their reference answers; and the
        invitation to ask the first of them."""
        run = self._run(chat_id)
        found = self._held_out(run.config().subset if run else sources.BUNDLED)
        chosen = random.sample(found, min(_OFFERED, len(found)))
        labels = [question if len(question) <= _LONGEST else f"{question[:_LONGEST]}…" for question, _ in chosen]
        samples = gr.Dataset(samples=[[label] for label in labels], visible=bool(chosen))
        return samples, [list(one) for one in chosen], invitation_html(_INVITES, labels[:_SUGGESTED], _FIRST)

    def _held_out(self, name: str) -> list[tuple[str, str]]:
        try:
            rows = subset.load(self.settings, name)[HELD_OUT]
        except StudioError:
            return []  # the run's subset is gone: nothing is offered
        return [
            (messages[0]["content"], messages[1]["content"])
            for _, messages in rows
            if [m["role"] for m in messages[:2]] == ["user", "assistant"]
        ]

    def _run(self, chat_id: str) -> Run | None:
        """The first run of a lane that is still there."""
        for lane in self.talking.find(chat_id).lanes:
            if lane.run:
                with contextlib.suppress(StudioError):  # gone; its lane says so
                    return self.store.run(lane.run)
        return None

    # Why

    def why(self, chat_id: str, at: int, lane: int) -> tuple[str, Any]:
        """The training rows nearest to an answer, as a table, and where they are: data set, reading."""
        kept = self.talking.find(chat_id)
        answer = kept.turns[at].shown(lane) if 0 <= at < len(kept.turns) and 0 <= lane < len(kept.lanes) else None
        if answer is None or not answer.run or kept.turns[at].hidden:
            raise StudioError("Only an answer of a tuned model has training rows to look for.")
        known = subset.find(self.settings, self.store.run(answer.run).config().subset)
        found = nearest.nearest(self.settings, known.name, answer.text)
        columns = [
            TableColumn("row", "Row", numeric=True), TableColumn("score", "BM25", numeric=True),
            TableColumn("question", "Question", wide=True), TableColumn("answer", "Trained on", wide=True),
        ]  # fmt: skip
        rows = [TableRow(near.row, [f"{near.row:,}", f"{near.score:.1f}", near.prompt, near.answer]) for near in found]
        words = f"Rows of {known.name} that the answer of {answer.run} is {nearest.METHOD}. Click one to open it."
        page = TablePage(columns, rows, plain=True, empty="No training row has a word in common with this answer.")
        return f'<p class="qs-note">{words}</p>{table_html(page)}', known.recipe.model_dump()

    def wanted(self, where: dict | None, row: int) -> dict[str, Any]:
        """A row of the table, for whoever can open it: its data set, how that is read, and its number."""
        if not where:
            raise StudioError("Click Why? under an answer first.")
        data = table.find(self.settings, where["dataset"])
        # clicked again, it is another wish
        return {"dataset": data.id, "reading": where.get("reading"), "row": int(row), "at": time.monotonic()}

    # What is read, and taken away

    def read_by(self, chat_id: str) -> str:
        """What each lane's model reads at the last question, as text with its template's marks."""
        from core.data.tokens import Renderer

        kept = self.talking.find(chat_id)
        if not kept.turns:
            return empty_html("Ask something first: then what each lane read is shown here, with its template's marks.")
        base = self.talking.base_named(kept.base)
        tokenizer, parts = load_tokenizer(base.model), []
        for at, lane in enumerate(kept.lanes):
            run, _ = lane.run_and_adapter
            template = self.store.run(run).config().chat_template if run else self._template(chat_id)
            system = kept.sampling(at).system
            told = [{"role": "system", "content": system}] if system.strip() else []
            text = Renderer(tokenizer, template).render_text([*told, *kept.asked(at)], prompt=True)
            own = "the model's own" if template == "auto" and tokenizer.chat_template else template
            parts.append(
                f"Lane {at + 1}, template: {'llama2, as the model has none' if own == 'auto' else own}\n{text}"
            )
        if how := self.talking.engine.decoding_note:
            parts.append(how)
        return raw_html("\n\n".join(parts))

    def _template(self, chat_id: str) -> Any:
        run = self._run(chat_id)
        return run.config().chat_template if run else "auto"

    def unload(self) -> None:
        """Give the model's memory back, once the answers under way have ended."""
        engine = self.talking.engine
        if engine.loaded is None:
            raise StudioError("No model is loaded, so there is nothing to unload.")
        name = engine.loaded.model.name
        freed = engine.unload()
        info(f"{freed / 2**30:.2f} GiB were given back. The next question loads it again.", f"{name} is unloaded")

    def as_jsonl(self, chat_id: str) -> str:
        return self._file(chat_id, "jsonl", transcript.as_jsonl)

    def as_markdown(self, chat_id: str) -> str:
        return self._file(chat_id, "md", transcript.as_markdown)

    def _file(self, chat_id: str, suffix: str, write: Any) -> str:
        kept = self.talking.find(chat_id)
        if not kept.turns:
            raise StudioError("Nothing was asked yet, so there is nothing to export.")
        path = roles.exports(self.settings) / f"chat-{slug(kept.title(), 'chat')[:40]}-{kept.id[:6]}.{suffix}"
        path.write_text(write(kept), encoding="utf-8")
        return str(path)
