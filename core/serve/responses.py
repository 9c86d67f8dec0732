"""Responses in OpenAI's shape: whole, or as the chunks of a stream."""

import secrets
import time
from typing import Any

from core.chat.queue_entry import QueueEntry
from core.serve.growing_answer import AnswerToken, GrowingAnswer, Growth, prompt_tokens
from core.serve.parameters import ChatParameters, CompletionParameters, Parameters


class _Response:
    """Common parts of both kinds of responses.

    Attributes:
        entry: The question.
        answers: Readers of its answers, in the order of the choices.
    """

    def __init__(self, entry: QueueEntry, asked: Parameters, kind: str, prefix: str, has_logprobs: bool):
        self.entry, self._answers_per_prompt = entry, asked.n
        self.answers = [GrowingAnswer(generation, has_logprobs) for generation in entry.generations]
        self._head: dict[str, Any] = {
            "id": f"{prefix}-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()),
            "model": asked.model,
        }  # fmt: skip
        if asked.stream_options.include_usage:
            # All chunks have the field; the last one has its value.
            self._head["usage"] = None
        self._ended: set[int] = set()

    def usage(self) -> dict[str, int]:
        """Return the numbers of tokens; a prompt with several answers counts once."""
        # The engine has a prompt for each answer.
        prompt = sum(len(prompt.ids) for prompt in list(self.entry.prompts.values())[:: self._answers_per_prompt])
        answer = sum(generation.tokens for generation in self.entry.generations)
        return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}

    def _choice(self, index: int, growth: Growth, is_chunk: bool) -> dict[str, Any]:
        raise NotImplementedError

    def whole(self) -> dict[str, Any]:
        """Return the response of a question whose answers have ended."""
        choices = [self._choice(at, answer.take(), False) for at, answer in enumerate(self.answers)]
        return self._head | {"choices": choices, "usage": self.usage()}

    def chunks(self) -> list[dict[str, Any]]:
        """Return the chunks of a stream with what is new."""
        found = []
        for at, answer in enumerate(self.answers):
            if at in self._ended:
                continue
            # Read before the text, so that the chunk with the finish reason has the rest of the text.
            has_ended = answer.finish_reason is not None
            growth = answer.take()
            if growth.text or growth.tokens or has_ended:
                choice = self._choice(at, growth, True) | {"finish_reason": answer.finish_reason if has_ended else None}
                found.append(self._head | {"choices": [choice]})
            if has_ended:
                self._ended.add(at)
        return found

    def first_chunks(self) -> list[dict[str, Any]]:
        """Return the chunks before the text of the answers."""
        return []

    def usage_chunk(self) -> dict[str, Any]:
        """Return the last chunk of a stream that asked for the numbers of tokens."""
        return self._head | {"choices": [], "usage": self.usage()}


class ChatResponse(_Response):
    """Response to a chat request."""

    def __init__(self, entry: QueueEntry, asked: ChatParameters):
        """Begin a response.

        Args:
            entry: The question, which the engine has taken.
            asked: The parameters of the request.
        """
        kind = "chat.completion.chunk" if asked.stream else "chat.completion"
        super().__init__(entry, asked, kind, "chatcmpl", asked.logprobs)
        self._asked = asked

    def first_chunks(self) -> list[dict[str, Any]]:
        """Return a chunk with the role for each choice."""
        delta = {"role": "assistant", "content": ""}
        empty = {"delta": delta, "logprobs": None, "finish_reason": None}
        return [self._head | {"choices": [{"index": at} | empty]} for at in range(self._asked.n)]

    def _choice(self, index: int, growth: Growth, is_chunk: bool) -> dict[str, Any]:
        logprobs = None
        if self._asked.logprobs:
            logprobs = {"content": [self._token(token) for token in growth.tokens], "refusal": None}
        message = {"content": growth.text} if is_chunk else {
            "role": "assistant", "content": growth.text, "refusal": None,
        }  # fmt: skip
        return {
            "index": index, "delta" if is_chunk else "message": message, "logprobs": logprobs,
            "finish_reason": self.answers[index].finish_reason,
        }  # fmt: skip

    def _token(self, token: AnswerToken) -> dict[str, Any]:
        top = [_chat_token(text, logprob) for text, logprob in token.top]
        return _chat_token(token.text, token.logprob) | {"top_logprobs": top}


class CompletionResponse(_Response):
    """Response to a completion request."""

    def __init__(self, entry: QueueEntry, asked: CompletionParameters):
        """Begin a response.

        Args:
            entry: The question, which the engine has taken.
            asked: The parameters of the request.
        """
        super().__init__(entry, asked, "text_completion", "cmpl", asked.logprobs is not None)
        self._asked = asked
        # Offset of the next token in the text of each choice; whether its prompt was echoed.
        self._offsets, self._echoed = [0] * len(entry.lanes), [not asked.echo] * len(entry.lanes)

    def _choice(self, index: int, growth: Growth, is_chunk: bool) -> dict[str, Any]:
        if not self._echoed[index]:
            self._echoed[index] = True
            growth = self._with_prompt(index, growth)
        logprobs = self._logprobs(index, growth) if self._asked.logprobs is not None else None
        return {
            "index": index, "text": growth.text, "logprobs": logprobs,
            "finish_reason": self.answers[index].finish_reason,
        }  # fmt: skip

    def _with_prompt(self, index: int, growth: Growth) -> Growth:
        """Return the beginning of an answer with its prompt in front."""
        prompt = self._asked.prompts[index // self._asked.n]
        tokens = prompt_tokens(self.entry.generations[index].scores.prompt)
        joined = "".join(token.text for token in tokens)
        text = prompt if isinstance(prompt, str) else joined
        # Special tokens that the tokenizer put in front are not in the given text.
        self._offsets[index] = len(text) - len(joined) if tokens and joined.endswith(text) else 0
        return Growth(text + growth.text, tokens + growth.tokens)

    def _logprobs(self, index: int, growth: Growth) -> dict[str, Any]:
        offsets = []
        for token in growth.tokens:
            offsets.append(max(0, self._offsets[index]))
            self._offsets[index] += len(token.text)
        tops = None
        if self._asked.logprobs:
            tops = [None if token.logprob is None else _by_text(token.top) for token in growth.tokens]
        return {
            "tokens": [token.text for token in growth.tokens],
            "token_logprobs": [token.logprob for token in growth.tokens],
            "top_logprobs": tops,
            "text_offset": offsets,
        }


def _chat_token(text: str, logprob: float | None) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace"))}


def _by_text(top: list[tuple[str, float]]) -> dict[str, float]:
    """Return the log-probabilities by text; of tokens with the same text, that of the most likely one."""
    found: dict[str, float] = {}
    for text, logprob in top:
        found.setdefault(text, logprob)
    return found
