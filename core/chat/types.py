"""What one lane is asked, and its answer while it is written. No torch in here."""

from dataclasses import dataclass, field
from typing import Literal

from core.chat.sampling import Sampling
from core.data.formats import Message
from core.data.tokens import TemplateName

End = Literal["", "end", "stop word", "length", "stopped", "failed", "interrupted"]
END_LABELS: dict[End, str] = {
    "": "writing",
    "end": "ended by itself",
    "stop word": "ended at a stop word",
    "length": "cut at the length limit",
    "stopped": "stopped",
    "failed": "failed",
    "interrupted": "cut off as the studio ended",
}


@dataclass
class Lane:
    """What one lane is asked.

    Attributes:
        messages: the conversation, ending on a user turn.
        adapter: the name it has in `RowAdapters`; None for the base.
        begun: tokens of an answer that is to be continued.
    """

    messages: list[Message]
    sampling: Sampling
    adapter: str | None = None
    template: TemplateName = "auto"
    begun: list[int] = field(default_factory=list)


@dataclass
class LaneAnswer:
    """One lane's answer so far.

    Attributes:
        end: why it ended; empty while it is being written.
        first_token_seconds: from the question to the first token; 0 before that.
        tokens: that the model wrote, with the token that ended the answer and those it was continued from. Every count
            of an answer's tokens in Chat and Evaluate is this one.
        ids: the tokens of the text, without the one that ended it.
        logprobs: of each token, by the model itself whatever the settings.
        pieces: the text of each token.
        note: what was done to the conversation so that it fits.
    """

    text: str = ""
    tokens: int = 0
    end: End = ""
    first_token_seconds: float = 0.0
    seconds: float = 0.0
    ids: list[int] = field(default_factory=list, repr=False)
    logprobs: list[float] = field(default_factory=list, repr=False)
    pieces: list[str] = field(default_factory=list, repr=False)
    note: str = ""
    error: Exception | None = field(default=None, repr=False)  # why it failed
    continued: int = 0  # tokens that were there before

    @property
    def tokens_per_second(self) -> float:
        return (self.tokens - self.continued) / self.seconds if self.seconds else 0.0
