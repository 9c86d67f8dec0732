"""Comparison of a run's receipt with what is on disk now, and the verdict of a verification."""

import re
from typing import Literal

from pydantic import BaseModel

from core.data import subset as subsets
from core.errors import StudioError
from core.runs import receipt as receipts
from core.runs.receipt import Receipt
from core.runs.store import Run
from core.settings import Settings, hardware
from core.system.counting import counted
from core.train.provenance import package_versions

# "other": it differs and is no fault by itself, such as a newer package; "unknown": it could not be compared.
Outcome = Literal["equal", "within tolerance", "different", "other", "unknown"]
# Largest difference that is within tolerance: of a loss, relative to it (absolute below 1); of an adapter's weights,
# relative to their norm. On another processor or GPU, or with other packages, sums are added in another order.
TOLERANCE = 0.005
# Memory in the reason for a choice, which is another one at any time.
_FREE = re.compile(r"[\d.,]+ GiB")


class Check(BaseModel):
    """One comparison: its subject, its outcome, and a sentence."""

    name: str
    outcome: Outcome
    text: str


class ReplayedStep(BaseModel):
    """A step that was repeated, with its recorded and its new loss; a loss that is not finite is a text."""

    step: int
    recorded: float | str | None
    repeated: float | str | None
    same_rows: bool

    @property
    def outcome(self) -> Outcome:
        """Return how the step compares."""
        return compare_losses(self.recorded, self.repeated) if self.same_rows else "different"


class Verification(BaseModel):
    """Result of a verification.

    Attributes:
        run: Id of the run.
        checks: The hashes and the environment, compared.
        steps: The steps that were repeated.
        start: The step that they began from.
    """

    run: str
    checks: list[Check]
    steps: list[ReplayedStep] = []
    start: int = 0

    @property
    def outcome(self) -> Outcome:
        """Return the verdict on the checks and the steps; "unknown" if all is equal, but no step was repeated."""
        found = {check.outcome for check in self.checks} | {step.outcome for step in self.steps}
        for worst in ("different", "within tolerance"):
            if worst in found:
                return worst
        return "equal" if self.steps else "unknown"

    @property
    def verdict(self) -> str:
        """Return the verdict as a sentence that names what differs."""
        wrong = [check.name for check in self.checks if check.outcome == "different"]
        steps = [step.step for step in self.steps if step.outcome == "different"]
        wrong += [f"the repeated step{'s' * (len(steps) > 1)} {', '.join(map(str, steps))}"] if steps else []
        if wrong:
            return f"Different: {', '.join(wrong)}."
        if not self.steps:
            return "The hashes are equal, and no step was repeated."
        repeated = f"{counted(len(self.steps), 'step')} from step {self.start:,} on"
        if self.outcome == "within tolerance":
            return f"Within tolerance: {repeated} repeat to within {TOLERANCE:.1%}, and all hashes are equal."
        return f"Equal: {repeated} repeat bit by bit, and all hashes are equal."


def compare_losses(recorded: float | str | None, repeated: float | str | None) -> Outcome:
    """Return how a repeated loss compares with the recorded one."""
    # A loss that is not finite is stored as a text, such as "nan".
    if str(recorded) == str(repeated):
        return "equal"
    if not isinstance(recorded, float) or not isinstance(repeated, float):
        return "different"
    return "within tolerance" if abs(repeated - recorded) <= TOLERANCE * max(1.0, abs(recorded)) else "different"


def check_files(settings: Settings, run: Run, receipt: Receipt) -> list[Check]:
    """Compare the receipt of a run with its files, its rows, its base model and this machine."""
    events = receipts.steps_of(run.events())
    at = receipts.first_difference(receipt, events)
    losses = _check("losses", at is None, "as recorded", f"the recorded losses differ from step {at} on")
    return [
        _check_named("adapter", receipt.adapter, receipts.hash_adapter(run.adapter)),
        _check_base(settings, run, receipt),
        _check_hash("settings", receipt.settings, receipts.hash_settings(run)),
        _check_hash("recipe", receipt.recipe, receipts.hash_recipe(run)),
        _check_rows(settings, run, receipt),
        _check_hash("row order", receipt.row_order, receipts.hash_row_order(events)),
        losses,
        *_check_environment(receipt),
    ]


def _check(name: str, is_equal: bool, equal: str, different: str) -> Check:
    return Check(name=name, outcome="equal" if is_equal else "different", text=equal if is_equal else different)


def _check_hash(name: str, expected: str, found: str) -> Check:
    return _check(name, expected == found, "as recorded", f"SHA-256 {found[:12]}…, recorded {expected[:12]}…")


def _check_named(name: str, expected: dict[str, str], found: dict[str, str]) -> Check:
    wrong = sorted(file for file in expected.keys() | found.keys() if expected.get(file) != found.get(file))
    return _check(name, not wrong, f"{counted(len(expected), 'file')} as recorded", f"changed: {', '.join(wrong)}")


def _check_base(settings: Settings, run: Run, receipt: Receipt) -> Check:
    try:
        return _check_named("base model", receipt.base_files, receipts.hash_base(settings, run.config()))
    except StudioError as error:
        return Check(name="base model", outcome="unknown", text=str(error))


def _check_rows(settings: Settings, run: Run, receipt: Receipt) -> Check:
    try:
        return _check_hash("rows", receipt.rows, subsets.hash_rows(settings, run.config().subset))
    except StudioError as error:
        return Check(name="rows", outcome="unknown", text=str(error))


def _check_environment(receipt: Receipt) -> list[Check]:
    """Compare code, packages and hardware; a difference in them explains one in the last bits."""
    made, now = receipt.made_with, package_versions()
    changed = [f"{name} {now.get(name, 'gone')}, then {then}" for name, then in made.packages.items()
               if now.get(name) != then]  # fmt: skip
    here = hardware().description
    return [
        _note("code", receipt.code == receipts.hash_code(), "the source files have changed since"),
        _note("packages", not changed, "; ".join(changed)),
        _note("hardware", made.hardware == here, f"{here}; then {made.hardware or 'not recorded'}"),
    ]


def _note(name: str, is_equal: bool, other: str) -> Check:
    return Check(name=name, outcome="equal" if is_equal else "other", text="as recorded" if is_equal else other)


def check_kernels(receipt: Receipt, chosen: list[str]) -> Check:
    """Compare the choices of a repeated preparation with those of the run."""
    known = {_FREE.sub("", choice) for choice in receipt.kernels}
    new = [choice for choice in chosen if _FREE.sub("", choice) not in known]
    return _note("kernels", not new, " ".join(new))
