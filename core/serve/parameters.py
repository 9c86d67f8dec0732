"""Parameters of a request, checked: each one is used, or refused by its name; none is ignored in silence.

Parameters that the engine does not have are accepted only with the value that means "off", which many clients send.
A parameter that is null counts as absent, as in OpenAI's API.
"""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from core.chat.engine import MAX_SEQUENCES
from core.chat.sampling import Sampling
from core.errors import fields_of, sentence
from core.serve.errors import ApiError

MAX_STOPS = 16
MAX_STOP_CHARACTERS = 1_000
MAX_TOP_LOGPROBS = 20
_MAX_PROMPTS = f"One request may ask for 1 to {MAX_SEQUENCES} answers, prompts times n. Send several requests."
# Entries of a parameter other than the prompt and the messages.
_MAX_ENTRIES = 1_000
# Parameters of OpenAI's API without a counterpart here, each with the values that change nothing and the reason.
_OFF: dict[str, tuple[tuple[Any, ...], str]] = {
    "presence_penalty": ((0,), "the engine has no presence penalty; repetition_penalty is similar"),
    "frequency_penalty": ((0,), "the engine has no frequency penalty; repetition_penalty is similar"),
    "logit_bias": (({},), "the engine has no bias of single tokens"),
    "best_of": ((1,), "all answers are returned; ask for several with n"),
    "suffix": (("",), "the models write the end of a text, not its middle"),
    "response_format": (({"type": "text"},), "the engine does not force a format"),
    "tools": (([],), "the models call no tools here"),
    "tool_choice": (("none",), "the models call no tools here"),
    "functions": (([],), "the models call no functions here"),
    "function_call": (("none",), "the models call no functions here"),
    "modalities": ((["text"],), "the models write text only"),
    "service_tier": (("auto", "default"), "there is one tier"),
    "store": ((False,), "nothing of a request is stored"),
    "metadata": (({},), "nothing of a request is stored"),
    "user": (("",), "no caller is distinguished from another"),
}
# Fields of `Sampling` with the same name in requests; the last three are those that vLLM and others add to OpenAI's.
_SAMPLING = ("temperature", "top_p", "seed", "top_k", "min_p", "repetition_penalty")


def _check_count(prompt: Any) -> Any:
    """Return a prompt; of several ones, the number is checked before pydantic looks at them.

    Raises:
        ValueError: They are too many.
    """
    is_one = not isinstance(prompt, list) or (prompt and type(prompt[0]) is int)
    if not is_one and not 0 < len(prompt) <= MAX_SEQUENCES:
        raise ValueError(_MAX_PROMPTS)
    return prompt


# Without fail_fast, pydantic makes an error of each wrong entry: a million of them take a minute and gigabytes.
_Texts = Annotated[list[str], Field(fail_fast=True)]
_Ids = Annotated[list[int], Field(fail_fast=True)]
_Prompt = Annotated[str | _Texts | _Ids | Annotated[list[_Ids], Field(fail_fast=True)], BeforeValidator(_check_count)]


class StreamOptions(BaseModel):
    """Options of a stream."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False


class Parameters(BaseModel):
    """Parameters that both kinds of requests share."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str = Field(min_length=1)
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_tokens: int | None = None
    n: int = Field(1, ge=1, le=MAX_SEQUENCES)
    stop: str | _Texts = Field(default_factory=list)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()

    @property
    def stops(self) -> tuple[str, ...]:
        """Return the texts that end the answer."""
        return tuple([self.stop] if isinstance(self.stop, str) else self.stop)

    def sampling(self, length: int, seed: int) -> Sampling:
        """Return the sampling settings of an answer; what is not given has the default of the Chat tab.

        Args:
            length: Its length in tokens.
            seed: Seed of its random numbers.

        Raises:
            ApiError: A value is out of bounds.
        """
        given = {name: value for name in _SAMPLING if (value := getattr(self, name)) is not None}
        try:
            return Sampling(**given | {"max_new_tokens": length, "seed": seed})
        except ValidationError as error:
            raise _to_api_error(error) from error


class ChatParameters(Parameters):
    """Parameters of `/v1/chat/completions`."""

    messages: list[dict[str, Any]] = Field(min_length=1, fail_fast=True)
    max_completion_tokens: int | None = None
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=MAX_TOP_LOGPROBS)

    @property
    def length(self) -> int | None:
        """Return the length of an answer; None if none is given."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


class CompletionParameters(Parameters):
    """Parameters of `/v1/completions`."""

    prompt: _Prompt
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)

    @property
    def prompts(self) -> list[str | list[int]]:
        """Return the prompts, each a text or token ids."""
        is_one = isinstance(self.prompt, str) or isinstance(self.prompt[0], int)
        return [self.prompt] if is_one else list(self.prompt)


_Kind = TypeVar("_Kind", bound=Parameters)


def parse(kind: type[_Kind], body: dict[str, Any]) -> _Kind:
    """Return the parameters of a request.

    Args:
        kind: Parameters of this kind of request.
        body: Its JSON.

    Raises:
        ApiError: A parameter is unknown, has no counterpart here, or has a value that is not allowed.
    """
    given = {name: value for name, value in body.items() if value is not None}
    _check_entries(given)
    for name in given.keys() - kind.model_fields.keys():
        off, reason = _OFF.get(name, ((), ""))
        if not reason:
            raise ApiError(
                400, f"The parameter {name[:60]!r} is not known here. Known are: {', '.join(kind.model_fields)}.",
                name[:60], "unknown_parameter",
            )  # fmt: skip
        if not any(given[name] == value and isinstance(given[name], bool) == isinstance(value, bool) for value in off):
            wanted = f" or send {off[0]!r}" if off[0] not in ("", {}, []) else ""
            raise ApiError(
                400, f"The parameter {name!r} is not supported: {reason}. Leave it out{wanted}.", name,
                "unsupported_parameter",
            )  # fmt: skip
    try:
        found = kind.model_validate({name: value for name, value in given.items() if name in kind.model_fields})
    except ValidationError as error:
        raise _to_api_error(error) from error
    _check_together(found)
    return found


def _check_entries(given: dict[str, Any]) -> None:
    """Check that no list or object is longer than any that means something."""
    for name, value in given.items():
        is_long = isinstance(value, list | dict) and len(value) > _MAX_ENTRIES
        if is_long and name not in ("messages", "prompt"):
            raise ApiError(
                400, f"{name[:60]} has {len(value):,} entries, and at most {_MAX_ENTRIES:,} are read. Send fewer.",
                name[:60], "invalid_value",
            )  # fmt: skip


def _to_api_error(error: ValidationError) -> ApiError:
    """Return the first problem of a pydantic error, by the names that requests use."""
    problem = error.errors()[0]
    # The length has two names in requests; its bounds are those of one setting.
    name = {"max_new_tokens": "max_tokens"}.get(found := fields_of(problem)[0], found)
    return ApiError(400, sentence(name, problem), name, "invalid_value")


def _check_together(found: Parameters) -> None:
    """Check values that depend on each other."""
    stops = found.stops
    if len(stops) > MAX_STOPS or sum(map(len, stops)) > MAX_STOP_CHARACTERS or not all(stops):
        raise ApiError(
            400, f"stop must be at most {MAX_STOPS} texts that are not empty and have at most {MAX_STOP_CHARACTERS:,} "
            "characters together. Send fewer or shorter ones.", "stop", "invalid_value",
        )  # fmt: skip
    if found.stream_options.include_usage and not found.stream:
        raise ApiError(400, "stream_options is for a stream. Send stream: true with it.", "stream_options")
    if isinstance(found, ChatParameters):
        if found.top_logprobs and not found.logprobs:
            raise ApiError(400, "top_logprobs needs logprobs. Send logprobs: true with it.", "top_logprobs")
        if None not in (found.max_tokens, found.max_completion_tokens):
            raise ApiError(400, "max_tokens and max_completion_tokens mean the same. Send one of them.", "max_tokens")
    if isinstance(found, CompletionParameters):
        if found.max_tokens == 0 and not found.echo:
            raise ApiError(400, "max_tokens: 0 needs echo: true, or nothing would be answered.", "max_tokens")
        if len(found.prompts) * found.n > MAX_SEQUENCES:
            raise ApiError(400, _MAX_PROMPTS, "prompt")
