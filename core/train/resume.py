"""Settings of a resumed run, kept while its checkpoint is loaded.

A checkpoint holds the optimizer's and the schedule's state dicts. Both carry settings beside state: learning rate,
betas and weight decay in the parameter groups, base rates in the schedule. Loaded as they are, the settings of the run
so far return: a run that was finished and is given more steps would make its first update at the last rate of the old
schedule, 0. Only state (moments, step counts) is taken from the checkpoint here.
"""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def settings_kept(optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LambdaLR) -> Iterator[None]:
    """Load an optimizer's and a schedule's state inside; their settings are afterwards what they were before.

    The learning rate is the schedule's at the step that was loaded.
    """
    settings = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    base_rates = list(schedule.base_lrs)
    yield
    schedule.base_lrs = base_rates
    rates = [base * factor(schedule.last_epoch) for base, factor in zip(base_rates, schedule.lr_lambdas, strict=True)]
    for group, kept, rate in zip(optimizer.param_groups, settings, rates, strict=True):
        group.update(kept | {"lr": rate})
    schedule._last_lr = rates
