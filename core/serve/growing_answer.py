"""The part of an answer that its caller does not have yet, with the probabilities of its tokens.

The end of an answer that is being written may be the beginning of a stop text, which would cut it off. Such an end is
held back until it is clear.
"""

from dataclasses import dataclass, field

from core.chat.program_request import LikelyToken, PromptToken
from core.chat.types import Generation

# OpenAI's name of each end. An answer that was stopped or failed has none, because it is reported as an error.
FINISH_REASONS = {"end": "stop", "stop word": "stop", "length": "length"}
# JSON has no infinity; OpenAI sends this number in its place.
_LEAST_LOGPROB = -9999.0


@dataclass(frozen=True)
class AnswerToken:
    """A token of an answer or of an echoed prompt, as responses show it.

    Attributes:
        text: Text that it adds.
        logprob: Its log-probability; None for the first token of a prompt.
        top: Texts and log-probabilities of the most likely tokens at its position.
    """

    text: str
    logprob: float | None
    top: list[tuple[str, float]]


@dataclass
class Growth:
    """New text of an answer, and the tokens that it consists of."""

    text: str
    tokens: list[AnswerToken] = field(default_factory=list)


class GrowingAnswer:
    """Reader of one answer, which remembers how much of it the caller has."""

    def __init__(self, generation: Generation, has_logprobs: bool):
        """Begin at the start of the answer.

        Args:
            generation: The answer.
            has_logprobs: Whether the caller asks for tokens; text is then returned in whole tokens.
        """
        self.generation, self._has_logprobs = generation, has_logprobs
        self._chars = self._tokens = 0

    @property
    def finish_reason(self) -> str | None:
        """Return OpenAI's name of the answer's end; None while it is written."""
        return FINISH_REASONS.get(self.generation.end)

    def take(self) -> Growth:
        """Return the new text that no stop text can cut off any more."""
        generation = self.generation
        # Read first: an answer that has ended does not change any more.
        has_ended = bool(generation.end)
        settled = len(generation.text) if has_ended else generation.scores.settled_chars
        if not self._has_logprobs:
            growth = Growth(generation.text[self._chars : settled])
            self._chars += len(growth.text)
            return growth
        end, chars = self._tokens, self._chars
        pieces = list(generation.pieces)
        while end < len(pieces) and chars + len(pieces[end]) <= settled:
            chars += len(pieces[end])
            end += 1
        if has_ended and generation.end == "stop word":
            # Leave out the tokens of the stop text, whose text was cut off.
            while end > self._tokens and not pieces[end - 1]:
                end -= 1
        tokens = [self._token(at, pieces[at]) for at in range(self._tokens, end)]
        self._tokens, self._chars = end, chars
        return Growth("".join(token.text for token in tokens), tokens)

    def _token(self, at: int, piece: str) -> AnswerToken:
        scores, generation = self.generation.scores, self.generation
        top = scores.top[at] if at < len(scores.top) else []
        return AnswerToken(piece, _number(generation.logprobs[at]), _named(top, generation.ids[at], piece))


def prompt_tokens(tokens: list[PromptToken]) -> list[AnswerToken]:
    """Return the tokens of an echoed prompt as responses show them."""
    return [
        AnswerToken(one.text, None if one.logprob is None else _number(one.logprob), _named(one.top, one.id, one.text))
        for one in tokens
    ]


def _named(top: list[LikelyToken], token: int, text: str) -> list[tuple[str, float]]:
    """Return the texts of likely tokens; the token itself has the text that it adds, with the space before it."""
    return [(text if one.id == token else one.text, _number(one.logprob)) for one in top]


def _number(logprob: float) -> float:
    return max(logprob, _LEAST_LOGPROB)
