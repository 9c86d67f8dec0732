"""Sizes in bytes as people read them."""

_UNITS = ("KiB", "MiB", "GiB", "TiB")


def format_size(size: float) -> str:
    """Return a number of bytes in the largest unit of which there is at least one, such as "18.7 MiB".

    Args:
        size: Bytes; below one KiB they are shown as they are.
    """
    if size < 1024:
        return f"{size:,.0f} byte{'s' * (size != 1)}"
    number, power = size / 1024, 0
    # A number that would be rounded to 1,024.0 is shown in the next unit.
    while number >= 1023.95 and power < len(_UNITS) - 1:
        number, power = number / 1024, power + 1
    return f"{number:,.1f} {_UNITS[power]}"
