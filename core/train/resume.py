"""Protection of a resumed run's settings while its checkpoint is loaded.

A checkpoint holds the state dicts of the optimizer and the schedule. Both carry settings beside state: learning rate,
betas and weight decay in the parameter groups, base rates in the schedule. Loading them as they are would bring back
the settings of the run so far: a finished run that is given more steps would make its first update at the last rate of
the old schedule, 0. Here only state (moments, step counts) is taken from the checkpoint.
"""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def keep_settings(optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LambdaLR) -> Iterator[None]:
    """Restore the settings of an optimizer and a schedule after their state is loaded inside.

    The learning rate becomes the schedule's at the step that was loaded.
    """
    settings = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    base_rates = list(schedule.base_lrs)
    yield
    schedule.base_lrs = base_rates
    # The formula of LambdaLR: a resumed run without changes gets the same rate as an uninterrupted one.
    rates = [base * factor(schedule.last_epoch) for base, factor in zip(base_rates, schedule.lr_lambdas, strict=True)]
    for group, kept, rate in zip(optimizer.param_groups, settings, rates, strict=True):
        group.update(kept | {"lr": rate})
    schedule._last_lr = rates
