"""The event handlers of the Chat tab, each with the others that it needs; they hold no widgets."""

from dataclasses import dataclass

from core.chat.engine import Engine
from studio.chat.answer_settings import AnswerSettings
from studio.chat.chat_actions import ChatActions
from studio.chat.chat_export import ChatExport
from studio.chat.chat_list import ChatList
from studio.chat.conversations import Conversations
from studio.chat.model_picker import ModelPicker
from studio.chat.nearest_rows import NearestRows
from studio.chat.opening import ChatOpening
from studio.chat.rendered_prompts import RenderedPrompts
from studio.chat.suggestions import Suggestions
from studio.chat.voting import Voting


@dataclass(frozen=True)
class ChatParts:
    """All event handlers of one Chat tab."""

    conversations: Conversations
    picker: ModelPicker
    chat_list: ChatList
    settings: AnswerSettings
    actions: ChatActions
    voting: Voting
    suggestions: Suggestions
    opening: ChatOpening
    nearest_rows: NearestRows
    export: ChatExport
    prompts: RenderedPrompts

    @classmethod
    def create(cls, engine: Engine) -> "ChatParts":
        """Build the handlers over one engine."""
        conversations = Conversations(engine)
        picker = ModelPicker(conversations)
        actions, settings = ChatActions(conversations, picker.base_of), AnswerSettings(conversations)
        chat_list, voting, suggestions = ChatList(picker), Voting(actions), Suggestions(picker)
        return cls(
            conversations=conversations,
            picker=picker,
            chat_list=chat_list,
            settings=settings,
            actions=actions,
            voting=voting,
            suggestions=suggestions,
            opening=ChatOpening(chat_list, actions, settings, voting, suggestions),
            nearest_rows=NearestRows(conversations),
            export=ChatExport(conversations),
            prompts=RenderedPrompts(picker),
        )
