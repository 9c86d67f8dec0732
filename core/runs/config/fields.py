"""Declaration of one setting: its default, bounds, help text, group, and when it applies.

All that a form, the command line and a reader need to know of a setting is in its declaration and nowhere else.
The settings are declared in the modules of this package, one per group; `QLoRAConfig` (core.runs.config) joins them.
"""

from typing import Any, Literal

from pydantic import Field
from pydantic_core import PydanticCustomError

Group = Literal["Model", "LoRA", "Data", "Optimizer", "Batch and length", "Evaluation and checkpoints"]
When = dict[str, tuple[Any, ...]]
# Conditions of settings that apply to one task only.
GENERATES: When = {"task": ("generate",)}
CLASSIFIES: When = {"task": ("classify",)}


def setting(
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
    """Return the pydantic field of a setting.

    Args:
        default: Value of a run that does not set it.
        group: Heading of the form under which it is shown.
        title: Label in the form.
        description: Help text.
        basic: Whether the short form shows it.
        when: Other settings and their values with which it applies; without any it always applies.
        on_resume: Whether a run can be resumed with another value.
        lines: Height of the text box in lines.
        **bounds: Limits, as pydantic's Field takes them, such as ge=0.
    """
    extra = {"group": group, "basic": basic, "on_resume": on_resume, "lines": lines}
    extra["when"] = {name: list(values) for name, values in (when or {}).items()}
    return Field(default, title=title, description=description, json_schema_extra=extra, **bounds)


def disagreement(text: str, *fields: str) -> PydanticCustomError:
    """Return the error of settings that cannot be used together.

    Args:
        text: Why, and what to set instead.
        *fields: These settings; the form marks the last one.
    """
    return PydanticCustomError("disagreement", "{text}", {"text": text, "fields": list(fields)})
