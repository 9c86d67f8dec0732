"""Results of the preflight checks, and the refusal to start a run because of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.errors import StudioError


@dataclass(frozen=True)
class Finding:
    """One result of the preflight checks.

    Attributes:
        level: With a "problem" the run would fail, so it is not started; a "warning" can be accepted; "fine" confirms.
        text: A sentence with the value, what was expected and the next step.
        fields: Settings that the finding is about, the one to change first.
    """

    level: Literal["problem", "warning", "fine"]
    text: str
    fields: tuple[str, ...] = ()


def texts(findings: Sequence[Finding], level: str) -> list[str]:
    """Return the sentences of one level."""
    return [finding.text for finding in findings if finding.level == level]


class FindingsError(StudioError):
    """A run was not started because of its findings; the message has those that stopped it, one per line.

    Attributes:
        findings: All findings.
        has_problems: Whether the settings must change; otherwise accepting the warnings is enough.
    """

    def __init__(self, findings: Sequence[Finding], advice: str):
        problems = texts(findings, "problem")
        super().__init__("\n".join(problems or [*texts(findings, "warning"), advice]))
        self.findings, self.has_problems = list(findings), bool(problems)


def require_accepted(findings: Sequence[Finding], accept_warnings: bool) -> list[str]:
    """Return the warnings of a run that may start.

    Args:
        findings: The result of the preflight checks.
        accept_warnings: Whether warnings are accepted.

    Raises:
        FindingsError: There is a problem, or a warning that is not accepted.
    """
    warnings = texts(findings, "warning")
    if texts(findings, "problem") or (warnings and not accept_warnings):
        raise FindingsError(findings, "The run was not started. Change the settings, or start it with accept_warnings.")
    return warnings
