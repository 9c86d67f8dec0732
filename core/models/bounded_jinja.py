"""Jinja for chat templates of foreign models: the dialect of transformers within a budget of time and memory.

transformers runs templates in Jinja's sandbox, which keeps them from files and from Python's internals, but lets them
compute without end. Here the generated code asks `core.models.template_budget` at every loop, call and value, in
the thread that renders: no process per rendering is needed, which would cost more than the rendering itself. Filters
and methods are those that templates use; the others, such as `urlize`, `lipsum` or `translate`, are absent.
"""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError
from jinja2.utils import Cycler, Namespace

from core.models.bounded_jinja_code import BoundedCode
from core.models.template_budget import Budget, TooCostly

# The longest template of the families in the tests has 20,000 characters.
MAX_SOURCE = 200_000
# CPU seconds that all renderings of a template may take at first, and what each later one adds to them. Without this,
# the 1,600 renderings of a preflight check could each take nearly all of their own time.
_CREDIT, _CREDIT_PER_RENDERING = 3.0, 0.02
# Filters that search a text in more than linear time, or answer differently each time.
_ABSENT = ("urlize", "striptags", "wordwrap", "pprint", "xmlattr", "random")
# Filters with a width or another number among their arguments, which is checked.
_COUNTING = ("center", "indent", "batch", "slice", "round", "truncate")
_TEXT_METHODS = """
    strip lstrip rstrip split rsplit splitlines partition rpartition startswith endswith upper lower title capitalize
    casefold swapcase find rfind index rindex count replace join removeprefix removesuffix isalnum isalpha isascii
    isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper center ljust rjust zfill
"""
# Methods of a text whose result may be much longer than the text.
_GROWING = frozenset(("center", "ljust", "rjust", "zfill", "replace", "join"))
# Python searches from the right, and for characters to strip, by comparing each with each; from the left it does not.
_SEARCHING = frozenset(("strip", "lstrip", "rstrip", "rfind", "rindex", "rsplit", "rpartition"))
_METHODS: dict[type, frozenset[str]] = {
    str: frozenset(_TEXT_METHODS.split()),
    dict: frozenset(("get", "items", "keys", "values", "copy")),
    list: frozenset(("index", "count", "copy")),
    tuple: frozenset(("index", "count")),
    float: frozenset(("is_integer",)),
    int: frozenset(("is_integer", "bit_length")),
    LoopContext: frozenset(("cycle", "changed")),
    Cycler: frozenset(("next", "reset")),
}


class _Generation(Extension):
    """The tag `generation` of transformers, which marks answers and writes nothing."""

    tags = frozenset(("generation",))

    def parse(self, parser: Parser) -> nodes.Node:
        lineno = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=lineno)


class _BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Environment of one template; `budget` is that of the rendering under way."""

    code_generator_class = BoundedCode
    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        # Without the optimizer, nothing is computed while a template is compiled.
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols], optimized=False,
            finalize=str,
        )  # fmt: skip
        self.use(Budget())
        self.filters = {name: self._bounded(name, f) for name, f in self.filters.items() if name not in _ABSENT}
        self.filters["tojson"] = self._bounded("tojson", _to_json)
        self.tests = {name: self._bounded("", test) for name, test in self.tests.items()}
        own = {"raise_exception": _raise, "strftime_now": self._now, "dict": _dict, "namespace": _Namespace}
        self.globals = {name: self.globals[name] for name in ("range", "cycler", "joiner")} | own

    @property
    def tick(self) -> bool:
        """Return True; raise TooCostly once the time is over."""
        self.budget.tick()
        return True

    def use(self, budget: Budget) -> None:
        """Use the budget of another rendering."""
        # The generated code calls these two for each value that is made, or written.
        self.budget, self.charge, self.finalize = budget, budget.charge, budget.charge_output

    def join(self, parts: Any, separator: str = "") -> str:
        """Return parts as one text."""
        self.budget.tick()
        return self.budget.join(parts, separator)

    # The name under which the generated code joins what a macro or a block wrote.
    concat = join

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute an arithmetic operation within the budget."""
        self.budget.tick()
        if operator == "*":
            self.budget.multiply(left, right)
        elif operator == "**":
            self.budget.raise_to(left, right)
        elif operator == "%" and isinstance(left, str):
            self.budget.percent(left, right)
        return self.budget.charge(super().call_binop(context, operator, left, right))

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a method or function within the budget; the names are those of Jinja, which passes keywords on."""
        __self.budget.tick()
        owner = getattr(__obj, "__self__", None)
        if owner is not None and owner is not __self:
            args = __self._method_arguments(owner, __obj.__name__, args, kwargs)
        return __self.budget.charge(super().call(__context, __obj, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return `str.format` of a text within the sandbox and the budget; None for other values."""
        format_text = super().wrap_str_format(value)
        if format_text is None:
            return None

        def bounded(*args: Any, **kwargs: Any) -> str:
            self.budget.braces(value.__self__, [*args, kwargs])
            return format_text(*args, **kwargs)

        return bounded

    def _method_arguments(self, owner: Any, name: str, args: tuple, kwargs: dict[str, Any]) -> tuple:
        """Check a call of a method, and return its arguments."""
        # Markup, which the filter `safe` gives, is a text.
        if name not in _METHODS.get(str if isinstance(owner, str) else type(owner), ()):
            raise SecurityError(f"it calls {type(owner).__name__}.{name}, which chat templates may not")
        if name in _SEARCHING:
            self.budget.search(owner, *args, *kwargs.values())
        if name not in _GROWING or not isinstance(owner, str):
            return args
        if name == "replace":
            self.budget.replace(owner, *args[:2])
        elif name != "join":
            self.budget.count(*args)
        else:
            parts = list(self.budget.charge(args[0]))
            self.budget.check_weight(self.budget.weigh(parts) + len(owner) * len(parts))
            return (parts,)
        return args

    def _bounded(self, name: str, function: Callable) -> Callable:
        """Return a filter or test within the budget; it keeps the attribute that makes Jinja pass its context."""
        first = 1 if hasattr(function, "jinja_pass_arg") else 0

        @wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            self.budget.tick()
            value, *others = args[first:]
            if name in _COUNTING:
                self.budget.count(*others, *kwargs.values())
            self._check_filter(name, value, others, kwargs)
            if isinstance(value, Iterator):
                value = self.budget.charge(value)
            if name == "join":
                value, separator = list(value), str(others[0] if others else kwargs.get("d", ""))
                self.budget.check_weight(self.budget.weigh(value) + len(separator) * len(value))
            return self.budget.charge(function(*args[:first], value, *others, **kwargs))

        return bounded

    def _check_filter(self, name: str, value: Any, others: list[Any], kwargs: dict[str, Any]) -> None:
        """Check the filters that take much longer, or whose result may be much larger, than what they are given."""
        if name == "format":
            self.budget.percent(str(value), [*others, kwargs])
        elif name == "replace":
            old, new = [*others, *(kwargs[key] for key in ("old", "new") if key in kwargs)][:2]
            self.budget.replace(str(value), str(old), str(new))
        elif name == "indent":
            width = [*others, kwargs.get("width", 4)][0]
            size = len(width) if isinstance(width, str) else int(width)
            self.budget.check_weight((str(value).count("\n") + 1) * max(size, 0))
        elif name == "trim":
            self.budget.search(str(value), *others, *kwargs.values())
        elif name == "tojson":
            self.budget.indent(others[1] if len(others) > 1 else kwargs.get("indent"))
        elif name == "sum" and not isinstance(kwargs.get("start", [*others, 0, 0][1]), int | float):
            raise TypeError("sum adds numbers only")

    def _now(self, format: str) -> str:
        self.budget.percent(format, "")
        return datetime.now().strftime(format)


class _Namespace(Namespace):
    """Namespace without names that begin with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        for name in dict(*args[1:], **kwargs):
            _check_name(name)
        Namespace.__init__(*args, **kwargs)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"a namespace has no attribute {name!r}")


def _dict(*args: Any, **kwargs: Any) -> dict:
    return dict(*args, **kwargs)


def _raise(message: Any) -> NoReturn:
    raise TemplateError(message)


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    # Unlike Jinja's own filter, that of transformers does not escape for HTML.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class BoundedTemplate:
    """A compiled chat template. Threads render it one after the other."""

    def __init__(self, source: str):
        """Compile a template.

        Raises:
            jinja2.TemplateError: It is no template, or too long.
        """
        if len(source) > MAX_SOURCE:
            raise TooCostly(f"it has {len(source):,} characters, and at most {MAX_SOURCE:,} are read")
        self._environment = _BoundedEnvironment()
        self._template = self._environment.from_string(source)
        self._lock = threading.Lock()
        self._credit = _CREDIT

    def render(self, messages: list[dict[str, str]], is_prompt: bool, special_tokens: dict[str, Any]) -> str:
        """Return a conversation as text.

        Args:
            messages: The conversation.
            is_prompt: Whether an answer is to follow, so that the generation prompt is appended.
            special_tokens: The tokenizer's special tokens by name.

        Raises:
            jinja2.TemplateError: The template refuses the conversation, or needs too much time or memory.
        """
        given = {**special_tokens, "messages": messages, "tools": None, "documents": None,
                 "add_generation_prompt": is_prompt}  # fmt: skip
        characters = sum(len(text) for message in messages for text in message.values())
        with self._lock:
            if self._credit < 0:
                raise TooCostly("its earlier renderings took too much time")
            budget = Budget(characters, len(messages))
            self._environment.use(budget)
            try:
                return self._environment.concat(self._pieces(given))
            finally:
                earned = _CREDIT_PER_RENDERING + budget.proportional
                self._credit = min(_CREDIT, self._credit + earned - budget.used)

    def _pieces(self, given: dict[str, Any]) -> Iterator[str]:
        yield from self._template.root_render_func(self._template.new_context(given))


@lru_cache(maxsize=64)
def compile_template(source: str) -> BoundedTemplate:
    """Return a compiled template; it is made once.

    Raises:
        jinja2.TemplateError: It is no template, or too long.
    """
    return BoundedTemplate(source)
