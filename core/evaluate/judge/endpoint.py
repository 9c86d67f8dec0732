"""A judge behind an OpenAI-compatible server, such as a hosted model, vLLM or Ollama.

The key comes from the environment or from the caller's memory. It is used for this client only: it is written to
no file, event, log or error.
"""

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.data.formats import Message
from core.data.ingest import replace_surrogates
from core.errors import StudioError
from core.evaluate.judge.bounded_http import UnboundedReply, make_client
from core.system.secret_masking import masked

if TYPE_CHECKING:
    from openai import APIStatusError

KEY_VARIABLE = "STUDIO_JUDGE_API_KEY"
# Bounds what a reply costs; its last word is the choice, so a model that reasons needs more than a few tokens.
_MAX_TOKENS = 512
_TIMEOUT_SECONDS = 60.0
# The client waits between tries, as long as a reply of status 429 says.
_MAX_RETRIES = 4


class JudgeError(Exception):
    """One question failed; the text says why, and the next question may succeed."""


class EndpointJudge:
    """A client of one model on one server."""

    def __init__(self, url: str, model: str, key: str = "", timeout: float = _TIMEOUT_SECONDS):
        """Check the address and make the client.

        Args:
            url: The server's base address, such as "https://api.example.com/v1".
            model: The model's name there.
            key: The secret of the server; empty for that of the environment, or for none.
            timeout: Seconds that a reply may take.

        Raises:
            StudioError: The address or the model's name is not usable.
        """
        from openai import OpenAI

        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StudioError(f"{url!r} is no address of a judge. Expected one such as https://api.example.com/v1.")
        if parts.username or parts.password:
            raise StudioError(f"The judge's address contains a secret. Put it into {KEY_VARIABLE} or the key's field.")
        if not model.strip():
            raise StudioError("The judge's model is empty. Enter the name that the server knows, such as gpt-4o-mini.")
        self.url, self.model = url.strip(), model.strip()
        secret = key or os.environ.get(KEY_VARIABLE, "")
        # Given here, so that the client takes nothing from environment variables that are meant for other programs.
        self._client = OpenAI(
            base_url=self.url, api_key=secret or "none", organization="", project="", timeout=timeout,
            max_retries=_MAX_RETRIES, http_client=make_client(timeout),
        )  # fmt: skip
        self._secret = secret

    def ask(self, messages: list[Message]) -> str:
        """Return the judge's reply.

        Args:
            messages: The conversation.

        Raises:
            JudgeError: The server failed, refused, took too long, named another server, or sent no text.
        """
        from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

        try:
            reply = self._client.chat.completions.create(
                model=self.model, messages=messages, temperature=0, max_tokens=_MAX_TOKENS
            )
            text = reply.choices[0].message.content
        except APITimeoutError as error:
            raise JudgeError("no reply within the time limit") from error
        except APIConnectionError as error:
            raise JudgeError(f"no connection to {self.url}") from error
        except UnboundedReply as error:
            raise JudgeError(str(error)) from error
        except APIStatusError as error:
            raise JudgeError(self._refusal(error)) from error
        # Replies that are JSON of any other shape fail in as many ways, and so does JSON that is nested deeply.
        except (OpenAIError, ValueError, AttributeError, LookupError, TypeError, RecursionError) as error:
            raise JudgeError(f"the server's reply is not one of a chat model ({type(error).__name__})") from error
        if not isinstance(text, str | None):
            raise JudgeError(
                f"the server's reply is not one of a chat model (its content is no text: {type(text).__name__})"
            )
        if not text:
            raise JudgeError("the reply is empty")
        return replace_surrogates(text)

    def _refusal(self, error: "APIStatusError") -> str:
        """Return why the server gave no reply."""
        if error.response.is_redirect:
            return (
                f"the server refers to another address, which is not followed (status {error.status_code}). Enter the "
                "address that it refers to"
            )
        return f"the server refused with status {error.status_code}: {self._safe(error.message)}"

    def _safe(self, text: str) -> str:
        """Return a short text of the server without the key, which some servers repeat."""
        text = text.replace(self._secret, "•••") if self._secret else text
        return masked(" ".join(text.split()))[:200]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
