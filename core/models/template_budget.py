"""Budget of one rendering of a chat template: processor time, and the weight of the values that it makes.

Time is checked at every loop, call, filter, comparison and output (`tick`), so one rendering exceeds its time by one
operation at most. No operation takes long, because no value may weigh more than `most`: the characters of its strings
and eight for each item of its lists, counted as often as they occur. Values that are made are weighed before a template
gets them; where a small value may become a large one at once ("a" * 10**9), the growth is computed first.
"""

import re
import time
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from string import Formatter
from typing import Any

from jinja2.sandbox import SecurityError
from jinja2.utils import Namespace

# Weight of an item of a list beside its own characters, by the time that it takes.
_ITEM = 8
# Weight of one value, and of all values of a rendering together; each grows with the conversation.
_VALUE, _VALUE_PER_CHARACTER = 2**20, 8
_TOTAL, _TOTAL_PER_CHARACTER = 2**26, 256
# CPU seconds of a rendering. The templates of the families in the tests take 5 to 70 microseconds per turn (measured).
_SECONDS, _SECONDS_PER_TURN, _SECONDS_PER_CHARACTER = 0.5, 1e-3, 2e-6
_MAX_BITS, _MAX_DEPTH = 4096, 32
# Steps of one search whose time grows with the product of both lengths; they take 50 ms (measured).
_MAX_STEPS = 10**8
# Widths, precisions and counts. An indentation occurs once per level and line.
_MAX_COUNT, _MAX_INDENT = 999, 8
# A width in a format of `%` that has more digits than _MAX_COUNT, or that is computed (`*`).
_WIDE = re.compile(r"%[^a-zA-Z%]*(?:[0-9]{4}|\*)")
_COLLECTIONS = (list, tuple, set, frozenset, KeysView, ValuesView, ItemsView)


class TooCostly(SecurityError):
    """A template needs more time or memory than rendering may take."""


class Budget:
    """Budget of one rendering.

    Attributes:
        most: Greatest weight of one value.
        allowed: CPU seconds of the rendering.
        proportional: The part of them that grows with the conversation.
    """

    def __init__(self, characters: int = 0, turns: int = 0):
        """Compute the budget for a conversation, and start the clock.

        Args:
            characters: Length of all its texts together.
            turns: Number of its messages.
        """
        self.most = _VALUE + _VALUE_PER_CHARACTER * characters
        self._left = _TOTAL + _TOTAL_PER_CHARACTER * characters
        self.proportional = _SECONDS_PER_TURN * turns + _SECONDS_PER_CHARACTER * characters
        self.allowed = _SECONDS + self.proportional
        self._began = time.thread_time()
        # The wall clock is read ten times as fast as that of the thread, and is never behind it.
        self._alarm = time.monotonic() + self.allowed

    @property
    def used(self) -> float:
        """Return the CPU seconds since the budget was made."""
        return time.thread_time() - self._began

    def tick(self) -> None:
        """Raise TooCostly once the time is over."""
        if time.monotonic() > self._alarm:
            left = self.allowed - self.used
            if left <= 0:
                raise TooCostly(f"it takes more than {self.allowed:.1f} seconds")
            self._alarm = time.monotonic() + left

    def charge(self, value: Any) -> Any:
        """Return a value that a template made, after weighing it; an iterator weighs its items as it gives them."""
        if isinstance(value, str):
            weight = len(value)
        elif value is None or isinstance(value, bool):
            return value
        elif isinstance(value, Iterator):
            return self._metered(value)
        else:
            weight = self.weigh(value)
        if weight > self.most:
            self.check_weight(weight)
        self._left -= weight
        if self._left < 0:
            raise TooCostly("it makes too many texts and lists")
        return value

    def charge_output(self, value: Any) -> Any:
        """Return a value that is about to be written, after weighing it: writing it makes it a text."""
        if time.monotonic() > self._alarm:
            self.tick()
        return self.charge(value)

    def check_weight(self, weight: int) -> None:
        """Raise TooCostly if a weight is more than one value may have."""
        if weight > self.most:
            raise TooCostly(f"it makes a value of more than {self.most:,} characters or items")

    def weigh(self, value: Any, depth: int = 0) -> int:
        """Return the characters and items of a value, those of nested ones included."""
        if isinstance(value, str | bytes):
            return len(value)
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            raise TooCostly(f"it makes a number of more than {_MAX_BITS:,} bits")
        if isinstance(value, Namespace):
            # Its content may change later, after a list that holds it was weighed.
            if depth:
                raise TooCostly("it puts a namespace into a list or namespace")
            value = object.__getattribute__(value, "_Namespace__attrs")
        if isinstance(value, Mapping):
            value = [*value.keys(), *value.values()]
        elif not isinstance(value, _COLLECTIONS):
            return 1
        if depth > _MAX_DEPTH:
            raise TooCostly(f"it nests lists more than {_MAX_DEPTH} deep")
        total = _ITEM * len(value) + 1
        for item in value:
            total += len(item) if isinstance(item, str) else self.weigh(item, depth + 1)
            if total > self.most:
                break
        self.check_weight(total)
        return total

    def join(self, parts: Iterable[Any], separator: str = "") -> str:
        """Return parts as one text, as `separator.join` with `str` of each."""
        texts, total = [], 0
        for part in parts:
            if not isinstance(part, str):
                self.check_weight(self.weigh(part))
                part = str(part)
            total += len(part) + len(separator)
            self.check_weight(total - len(separator))
            texts.append(part)
        return self.charge(str(separator).join(texts))

    def multiply(self, left: Any, right: Any) -> None:
        """Check a product before it is computed."""
        for value, times in ((left, right), (right, left)):
            if isinstance(times, int) and isinstance(value, str | bytes | list | tuple):
                self.check_weight(self.weigh(value) * max(times, 0))
        if isinstance(left, int) and isinstance(right, int):
            self._check_bits(left.bit_length() + right.bit_length())

    def raise_to(self, left: Any, right: Any) -> None:
        """Check a power before it is computed."""
        if isinstance(left, int) and isinstance(right, int):
            self._check_bits(left.bit_length() * abs(right))

    def percent(self, text: str, values: Any) -> None:
        """Check `text % values` before it is computed."""
        self._check_format(text, text.count("%"), values, _WIDE.search(text) is not None)

    def braces(self, text: str, values: Any) -> None:
        """Check `text.format(values)` before it is computed."""
        specs = [spec for _, _, spec, _ in Formatter().parse(text) if spec is not None]
        wide = any("{" in spec or len(re.sub(r"[^0-9]", "", spec)) > 3 for spec in specs)
        self._check_format(text, len(specs), values, wide)

    def replace(self, text: str, old: str, new: str) -> None:
        """Check a replacement before it is done."""
        self.check_weight(len(text) + (text.count(old) if old else len(text) + 1) * len(new))

    def search(self, text: str, *wanted: Any) -> None:
        """Check a search in a text, or a removal of characters from it, that takes the product of both lengths."""
        longest = max((len(each) for each in wanted if isinstance(each, str)), default=0)
        if len(text) * longest > _MAX_STEPS:
            raise TooCostly(f"it searches a text of {len(text):,} characters for one of {longest:,}")

    def count(self, *values: Any) -> None:
        """Check widths, precisions and counts."""
        if any(isinstance(value, int) and abs(value) > _MAX_COUNT for value in values):
            raise TooCostly(f"it asks for a width or count of more than {_MAX_COUNT:,}")

    def indent(self, width: int | str | None) -> None:
        """Check the indentation of JSON."""
        if width is not None and (len(width) if isinstance(width, str) else int(width)) > _MAX_INDENT:
            raise TooCostly(f"it indents JSON by more than {_MAX_INDENT}")

    def _check_format(self, text: str, places: int, values: Any, is_wide: bool) -> None:
        if is_wide:
            raise TooCostly(f"it pads a text to a width of more than {_MAX_COUNT}, or to one that is computed")
        self.check_weight(len(text) + places * (_MAX_COUNT + self.weigh(values)))

    def _check_bits(self, bits: int) -> None:
        if bits > _MAX_BITS:
            raise TooCostly(f"it makes a number of more than {_MAX_BITS:,} bits")

    def _metered(self, items: Iterator[Any]) -> Iterator[Any]:
        for item in items:
            self.tick()
            yield self.charge(item)
