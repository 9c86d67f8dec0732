"""Field types that several models share."""

from typing import Annotated

from pydantic import BeforeValidator


def _whole(value: object) -> object:
    """A number widget sends 3.0 for 3; 3.5 stays what it is and is refused."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
