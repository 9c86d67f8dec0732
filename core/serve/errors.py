"""Errors of the API in OpenAI's shape, each with a sentence that says what was wrong and what to do."""

import sys
import traceback
from typing import Any

from core.chat.program_request import PromptTooLongError
from core.errors import StudioError
from core.web.origin import RefusalError

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {413: "request_too_large", 429: "rate_limit_exceeded"}
_BROKEN = (
    "The studio failed at this request ({}). That is a fault of the studio: its log has the details. Send the request "
    "again, and report it if it fails again."
)


class ApiError(Exception):
    """A request that is refused, or that failed.

    Attributes:
        status: HTTP status.
        body: The answer's JSON in OpenAI's shape.
    """

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None):
        """Create the error.

        Args:
            status: HTTP status.
            message: A sentence for the caller.
            param: Parameter that it is about.
            code: OpenAI's short name of the error, if it has one.
        """
        super().__init__(message)
        self.status = status
        kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
        self.body: dict[str, Any] = {
            "error": {"message": message, "type": kind, "param": param, "code": code or _CODES.get(status)}
        }


def to_api_error(error: Exception) -> ApiError:
    """Return an exception as an error of the API; one without a message for the caller is also printed to the log."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RefusalError):
        return ApiError(error.status, error.reason)
    if isinstance(error, PromptTooLongError):
        return ApiError(400, str(error), code="context_length_exceeded")
    if isinstance(error, StudioError):
        return ApiError(400, str(error))
    traceback.print_exception(error, file=sys.stderr)
    return ApiError(500, _BROKEN.format(type(error).__name__))
