"""Answers of Gradio's and FastAPI's routes to requests that they refuse, as sentences for a person."""

from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

_MALFORMED = "The page never sends such a request: {}. Send what docs/api.md lists."
_SENTENCES = {
    "There was an error parsing the body": _MALFORMED.format("its body cannot be read"),
    "Upload not found": "No upload of this name is in progress. Upload the file again.",
    "Not Found": "There is nothing here.",
    "Method Not Allowed": "This address does not take this method. Send what docs/api.md lists.",
}
_SHOWN_FIELDS, _SHOWN_CHARACTERS = 5, 80


def _answer(status: int, text: Any, headers: Any = None) -> Response:
    # Gradio's page and its clients read `detail`; `error` is what the studio's own refusals have.
    return JSONResponse({"error": text, "detail": text}, status, headers)


def answer_invalid(request: Request, error: RequestValidationError) -> Response:
    """Answer a request whose body or parameters do not have the form that a route expects."""
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return _answer(422, _MALFORMED.format("its body is not valid JSON"))
    fields = list(dict.fromkeys(".".join(map(str, each["loc"]))[:_SHOWN_CHARACTERS] for each in found))
    more = f" and {len(fields) - _SHOWN_FIELDS} more" if len(fields) > _SHOWN_FIELDS else ""
    shown = ", ".join(fields[:_SHOWN_FIELDS]) + more
    verbs = "is missing or has" if len(fields) == 1 else "are missing or have"
    return _answer(422, _MALFORMED.format(f"{shown} {verbs} another form than expected"))


def answer_refused(request: Request, error: HTTPException) -> Response:
    """Answer a request that a route refused, with a sentence for each of Gradio's and FastAPI's short texts."""
    text = _SENTENCES.get(error.detail, error.detail) if isinstance(error.detail, str) else error.detail
    return _answer(error.status_code, text, error.headers)


EXCEPTION_HANDLERS: dict[Any, Any] = {RequestValidationError: answer_invalid, HTTPException: answer_refused}
