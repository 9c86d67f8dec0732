"""Flags of a turn that include its answer in the loss or exclude it: `weight: 0`, `train: false`, `skip: true`."""

from typing import Any

from core.data.formats.conversation import Role, UnusableRow
from core.data.formats.values import Note, is_missing

LOSS_KEYS = ("weight", "loss_weight", "train", "trained", "trainable", "loss", "learn",
             "train_on_turn", "train_on", "training", "compute_loss", "loss_mask",
             "output_with_loss")  # fmt: skip
# Flags that exclude a turn from the loss where they are true.
SKIP_KEYS = ("skip", "masked", "is_masked", "ignore", "exclude", "excluded", "no_loss", "skip_loss", "ignore_loss",
             "mask_loss", "do_not_train", "no_train")  # fmt: skip
# Flags that mean "has loss" in some datasets and "has none" in others.
UNCLEAR_KEYS = ("mask",)

_SWITCHES = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


def loss_flag(turn: dict[str, Any], role: Role, note: Note) -> bool | None:
    """Return whether the tokens of a turn carry loss according to its weight or flag; None without one.

    Raises:
        UnusableRow: The weight is neither 0 nor 1, since the loss has no weights per turn; or the flag `mask` does not
            say whether a masked turn carries loss.
    """
    chosen = None
    for key in (*LOSS_KEYS, *SKIP_KEYS, *UNCLEAR_KEYS):
        value = turn.get(key)
        if is_missing(value):
            continue
        switch = _SWITCHES.get(str(value).strip().lower())
        if switch is None and key not in LOSS_KEYS:
            # "skip" or "ignore" may name something else.
            note(f"the field {key!r} of a turn is not used")
            continue
        if switch is None:
            raise UnusableRow(f"the {key} {str(value)[:40]!r} of a turn is neither 0 nor 1")
        if key in UNCLEAR_KEYS and role == "assistant":
            raise UnusableRow(
                f"the field {key!r} of a turn may mean trained on or left out; rename it to train or skip"
            )
        has_loss = not switch if key in SKIP_KEYS else switch
        if has_loss and role != "assistant":
            note(f"{key} = {value!r} on a {role} turn is not used: only answers carry loss")
        # If two flags disagree, the turn carries no loss.
        chosen = has_loss if chosen is None else chosen and has_loss
    return chosen if role == "assistant" else None
