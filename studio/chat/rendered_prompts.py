"""The prompts of the last question, rendered by each lane's chat template as its model reads them."""

from pathlib import Path

from components.conversation import empty_html, raw_html
from core.chat.turns import LaneChoice
from core.data.tokens import Renderer, TemplateName
from core.models import catalogue
from core.models.loading import load_tokenizer
from core.runs import classifier
from studio.chat.model_picker import ModelPicker
from studio.chat.view import Updates


class RenderedPrompts:
    """Event handler of "Show rendered prompts"."""

    def __init__(self, picker: ModelPicker):
        self.picker, self.conversations = picker, picker.conversations

    def show(self, chat_id: str) -> Updates:
        """Return `prompts`: the text that each lane's model reads, special tokens included."""
        chat = self.conversations.find(chat_id)
        if not chat.turns:
            return {"prompts": empty_html("Ask a question first; then the prompt of each lane is shown here.")}
        base = self.picker.base_of(chat)
        tokenizer = load_tokenizer(catalogue.find(self.conversations.settings, base.model, base.revision))
        parts = []
        for lane in range(len(chat.lanes)):
            if folder := self._classifier(chat.lanes[lane]):
                text = classifier.read(folder).text_of(chat.asked(lane))
                parts.append(f"Model {lane + 1}, a classifier: it reads the last question without a template\n{text}")
                continue
            template = self._template(chat_id, lane)
            system = chat.sampling(lane).system
            messages = [{"role": "system", "content": system}] if system.strip() else []
            prompt = Renderer(tokenizer, template).render_text([*messages, *chat.asked(lane)], is_prompt=True)
            parts.append(f"Model {lane + 1}, template: {_template_label(template, tokenizer.chat_template)}\n{prompt}")
        if note := self.conversations.engine.decoding_note:
            parts.append(note)
        return {"prompts": raw_html("\n\n".join(parts))}

    def _classifier(self, choice: LaneChoice) -> Path | None:
        """Return the folder of the adapter of a lane that is a classifier; None for other lanes."""
        run_id, adapter = choice.run_and_adapter
        folder = self.conversations.engine.store.run(run_id).adapters().get(adapter) if run_id else None
        return folder if folder and classifier.is_classifier(folder) else None

    def _template(self, chat_id: str, lane: int) -> TemplateName:
        """Return the template of a lane's run; the base uses that of the first tuned lane, as the engine does."""
        run_id, _ = self.conversations.find(chat_id).lanes[lane].run_and_adapter
        run = self.conversations.engine.store.run(run_id) if run_id else self.picker.first_run(chat_id)
        return run.config().chat_template if run else "auto"


def _template_label(template: TemplateName, own_template: str | None) -> str:
    if template != "auto":
        return template
    return "the model's own" if own_template else "llama2, because the model has none"
