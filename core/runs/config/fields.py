"""The knobs of a run, a file a group. `QLoRAConfig` (core.runs.config) is all of them together.

A knob's type, default, bounds, help, group, whether the short form shows it, and when it applies at all stand here and
nowhere else.
"""

from typing import Any, Literal

from pydantic import Field

Group = Literal["Model", "LoRA", "Data", "Optimiser", "Batch and length", "Measuring and saving"]
When = dict[str, tuple[Any, ...]]


def knob(
    default: Any,
    group: Group,
    title: str,
    description: str,
    basic: bool = False,
    when: When | None = None,
    on_resume: bool = False,
    lines: int = 1,
    **bounds: Any,
) -> Any:
    """A field with all that a form, a command line and a reader need to know of it.

    Args:
        basic: whether the short form shows it.
        on_resume: whether a run that is resumed may have another value.
        lines: how many lines of text a form shows.
        when: it applies only while these other knobs have one of these values.
    """
    extra = {"group": group, "basic": basic, "on_resume": on_resume, "lines": lines}
    extra["when"] = {name: list(values) for name, values in (when or {}).items()}
    return Field(default, title=title, description=description, json_schema_extra=extra, **bounds)
