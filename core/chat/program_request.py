"""Options of a lane that a program asks through the API server, and the probabilities that it gets; without torch.

The page's lanes have none of them. A program's prompt is read whole or refused: it has no page that would show which
turns were left out.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from core.errors import StudioError


class PromptTooLongError(StudioError):
    """A prompt that, with its answer, exceeds the model's context."""


@dataclass(frozen=True)
class ProgramOptions:
    """Options of a lane that a program asks.

    Attributes:
        text: Prompt that is read as it is, without a chat template; None if the messages or `ids` are read.
        ids: The same, as token ids.
        stop: Texts that end the answer. Unlike stop words they may hold line breaks.
        top_logprobs: Number of the most likely tokens that are kept at the position of each token.
        scores_prompt: Whether the log-probabilities of the prompt's tokens are computed.
        writes_answer: Whether an answer is written; without one, the prompt is only scored.
        fills_context: Whether an answer that does not fit into the context beside the prompt may be shorter than its
            length; otherwise it is refused.
    """

    text: str | None = None
    ids: tuple[int, ...] | None = None
    stop: tuple[str, ...] = ()
    top_logprobs: int = 0
    scores_prompt: bool = False
    writes_answer: bool = True
    fills_context: bool = False

    @property
    def is_raw(self) -> bool:
        """Return whether the prompt is read without a chat template."""
        return self.text is not None or self.ids is not None


class LikelyToken(NamedTuple):
    """A token with its text, decoded by itself, and its log-probability under the model."""

    id: int
    text: str
    logprob: float


@dataclass(frozen=True)
class PromptToken:
    """A token of a prompt.

    Attributes:
        id: The token.
        text: Text that it adds to the tokens before; joined, the texts are the prompt.
        logprob: Its log-probability; None for the first token, which nothing predicts.
        top: The most likely tokens at its position; empty for the first token.
    """

    id: int
    text: str
    logprob: float | None
    top: list[LikelyToken]


@dataclass
class ProgramScores:
    """Probabilities of a generation that the page does not show.

    Attributes:
        prompt: Tokens of the prompt with their probabilities, if they were asked for.
        top: The most likely tokens at the position of each token of the answer, if they were asked for.
        settled_chars: Number of characters at the beginning of the answer that no text that ends it can cut off.
    """

    prompt: list[PromptToken] = field(default_factory=list)
    top: list[list[LikelyToken]] = field(default_factory=list)
    settled_chars: int = 0
