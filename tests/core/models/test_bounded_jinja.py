"""Chat templates that compute without an end, or make values without a bound, are refused within their budget."""

import time

import jinja2
import psutil
import pytest

from core.models.bounded_jinja import MAX_SOURCE, BoundedTemplate
from core.models.template_budget import TooCostly

TALK = [{"role": "user", "content": "What is a tide?"}, {"role": "assistant", "content": "Water that rises."}]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
MILLION = "{% set s = 'a' * 1000000 %}"
# A list that holds the one before twice, or another text made of the one before, thirty times.
DOUBLE = "{{% set ns = namespace(v={start}) %}}{{% for i in range(60) %}}{{% set ns.v = {next} %}}{{% endfor %}}"

WITHOUT_END = {
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "loop that filters": "{% for i in range(99999) %}{% for j in range(99999) if false %}{% endfor %}{% endfor %}",
    "recursive loop": "{% for i in [1,2,3,4] recursive %}{{ loop([1,2,3,4]) if loop.depth < 60 }}{% endfor %}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "blocks": "{% set n = namespace(v=0) %}{% block a scoped %}{% for i in range(9) %}{{ self.a() if false else '' }}"
    "{% for j in range(99999) %}{% for k in range(99999) %}{% endfor %}{% endfor %}{% endfor %}{% endblock %}",
    "callers": "{% macro g() %}{{ caller() }}{% endmacro %}{% macro f(n) %}{% if n %}{% call g() %}{{ f(n-1) }}"
    "{{ f(n-1) }}{% endcall %}{% endif %}{% endmacro %}{{ f(60) }}",
    "maps": "{% for i in range(99999) %}{{ range(99999)|map('string')|map('length')|sum }}{% endfor %}",
    "comparisons": MILLION + "{% for i in range(99999) %}{% if 'b' in s %}{% endif %}{% endfor %}",
    "straight line": MILLION + "{% if " + " or ".join(["'b' in s"] * 3_000) + " %}{% endif %}",
    "sorts": "{% for i in range(99999) %}{% if range(99999)|sort|first %}{% endif %}{% endfor %}",
    "includes itself": "{% for i in range(99999) %}{% for c in 'a'*9999 %}{{ c|upper|lower }}{% endfor %}{% endfor %}",
}  # fmt: skip
# Each takes the product of both lengths: minutes, in which no thread of the server runs.
NEEDLE = "{% set n = 'ab' ~ 'a' * 300000 %}"
SEARCHES = {
    name: MILLION + NEEDLE + "{{ " + call + " }}"
    for name, call in {
        "trim": "s|trim('b' * 900000 ~ 'a')", "trim by name": "s|trim(chars='b' * 900000 ~ 'a')",
        "mapped trim": "[s]|map('trim', 'b' * 900000 ~ 'a')|list", "strip": "s.strip('b' * 900000 ~ 'a')",
        "lstrip": "s.lstrip('b' * 900000 ~ 'a')", "rstrip": "s.rstrip('b' * 900000 ~ 'a')", "rfind": "s.rfind(n)",
        "rindex": "s.rindex(n)", "rsplit": "s.rsplit(n)", "rsplit by name": "s.rsplit(sep=n)",
        "rpartition": "s.rpartition(n)", "of a safe text": "(s|safe).rfind(n)",
    }.items()
}  # fmt: skip
# These search from the left, which Python does in linear time.
FAST = ["s.find(n)", "s.count(n)", "s.index('a' * 400000)", "n in s", "s|replace(n, '')", "s.split(n)|length",
        "s.partition(n)|length", "s.rfind('<think>')", "s.strip()|length", "s|trim|length"]  # fmt: skip
WITHOUT_BOUND = {
    "product": "{{ 'a' * 10**9 }}", "product of a list": "{{ [0] * 10**9 }}", "mirrored": "{{ 10**9 * 'a' }}",
    "constants": "{{ ('a' * 10**5) * 10**5 }}", "power": "{{ 10 ** (10 ** 9) }}", "powers": "{{ 9**999 * 9**999 }}",
    "doubling": DOUBLE.format(start="'ab'", next="ns.v ~ ns.v"),
    "adding": DOUBLE.format(start="'ab'", next="ns.v + ns.v"),
    "joining": DOUBLE.format(start="'ab'", next="[ns.v, ns.v]|join"),
    "lists": DOUBLE.format(start="[1]", next="[ns.v, ns.v]"),
    "tuples": DOUBLE.format(start="(1,)", next="(ns.v, ns.v)"),
    "dicts": DOUBLE.format(start="{}", next="{'a': ns.v, 'b': ns.v}"),
    "dict": DOUBLE.format(start="{}", next="dict(a=ns.v, b=ns.v)"),
    "squares": DOUBLE.format(start="3", next="ns.v * ns.v"), "sums": DOUBLE.format(start="2**4000", next="ns.v * 2"),
    "blocks set": "{% set ns = namespace(v='ab') %}{% for i in range(60) %}{% set v %}{{ ns.v }}{{ ns.v }}{% endset %}"
    "{% set ns.v = v %}{% endfor %}",
    "namespaces": "{% set n = namespace() %}{% set l = [n] * 9 %}{% set n.a = 'a' * 9**6 %}{{ l }}",
    "namespace in itself": "{% set n = namespace() %}{% set n.a = n %}{{ n }}",
    "output": MILLION + "{% for i in range(99999) %}{{ s }}{% endfor %}",
    "text between": "{% for i in range(99999) %}" + "a" * 100_000 + "{% endfor %}",
    "macro's text": "{% macro f() %}{% for i in range(99999) %}" + "a" * 99_999 + "{% endfor %}{% endmacro %}{{ f() }}",
    "kept texts": MILLION + "{% set ns = namespace(l=[]) %}{% for i in range(999) %}{% set ns.l = ns.l + [s ~ i] %}"
    "{% endfor %}",
    "slices": MILLION + "{% for i in range(99999) %}{% set t = s[1:] %}{% endfor %}",
    "center": "{{ 'x'|center(10**9) }}", "indent": "{{ ('\n' * 10**5)|indent(999) }}",
    "indent by text": "{{ ('\n' * 10**5)|indent('a' * 10**5) }}", "tojson": "{{ [[1]]|tojson(indent=10**9) }}",
    "tojson by place": "{{ [[1]]|tojson(false, 10**9) }}", "batch": "{{ [1]|batch(10**9, 0)|list }}",
    "slice": "{{ [1]|slice(10**9)|list }}", "round": "{{ 1.5|round(10**9, 'ceil') }}",
    "replace": "{{ ('a' * 10**5)|replace('a', 'b' * 10**5) }}",
    "replace nothing": "{{ ('a'*10**5)|replace('', 'b'*9**5) }}",
    "replace by name": "{{ ('a' * 10**5)|replace(old='a', new='b' * 10**5) }}",
    "join": "{{ range(99999)|join('a' * 10**6) }}", "join by name": "{{ range(99999)|join(d='a' * 10**6) }}",
    "join of defaults": MILLION + "{{ range(99999)|map(attribute='x', default=s)|join }}",
    "sum of lists": "{{ range(99999)|map('string')|map('list')|sum(start=[]) }}",
    "format": "{{ '%999999999d'|format(1) }}", "format by star": "{{ '%*d'|format(10**9, 1) }}",
    "percent": "{{ '%999999999d' % 1 }}", "percent precision": "{{ '%.999999999f' % 1 }}",
    "percent often": MILLION + "{{ ('%s' * 99999) % ([s] * 99999) }}",
    "percent of places": MILLION + "{{ ('%(a)s' * 9999) % {'a': s} }}",
    "braces": "{{ '{:999999999}'.format(1) }}", "braces nested": "{{ '{:{}}'.format(1, 10**9) }}",
    "braces often": MILLION + "{{ ('{0}' * 9999).format(s) }}",
    "format_map": MILLION + "{{ ('{a}' * 9999).format_map({'a': s}) }}",
    "ljust": "{{ 'a'.ljust(10**9) }}", "zfill": "{{ 'a'.zfill(10**9) }}", "method center": "{{ 'a'.center(10**9) }}",
    "method replace": "{{ ('a' * 10**5).replace('a', 'b' * 10**5) }}",
    "method join": "{{ ('a'*10**6).join('b'*10**6) }}",
    "method join of refs": MILLION + "{{ ''.join([s] * 99999) }}",
    "method join of iterator": MILLION + "{{ ''.join(range(99999)|map(attribute='x', default=s)) }}",
    "number of a text": "{{ ('f' * 10**6)|int(base=16) * 3 }}", "date": "{{ strftime_now('%999999999Y') }}",
    "fromkeys": "{{ dict.fromkeys(range(9)) }}",
}  # fmt: skip
REFUSED = {
    "expandtabs": "{{ '\t'.expandtabs(10**9) }}", "translate": "{{ 'a'.translate({97: 'b'}) }}",
    "bytes": "{{ (1).to_bytes(10**9, 'big') }}", "lipsum": "{{ lipsum(10**9) }}", "urlize": "{{ 'a'|urlize }}",
    "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}", "globals": "{{ namespace.__init__.__globals__ }}",
    "attr": "{{ ''|attr('__class__').__mro__ }}", "format attribute": "{{ '{0.__class__.__mro__}'.format('') }}",
    "self": "{{ self.__init__.__globals__ }}", "frame": "{{ raise_exception.__code__.co_code }}",
    "environment": "{{ self._TemplateReference__context.environment.budget.most }}",
    "append": "{{ messages.append(1) }}", "clear": "{{ messages[0].clear() }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}{{ os.x }}", "extends": "{% extends '/etc/passwd' %}",
    "autoescape": "{% autoescape true %}{{ 'a' }}{% endautoescape %}", "underscore": "{% set n = namespace(_a=1) %}",
    "nested blocks": "{% for i in [1] %}" * 30 + "{% endfor %}" * 30,
    "parentheses": "{{ " + "(" * 9_000 + "1" + ")" * 9_000 + " }}",
    "sums": "{{ " + "1+" * 5_000 + "1 }}", "elifs": "{% if 0 %}" + "{% elif 0 %}" * 3_000 + "{% endif %}{{ 1/0 }}",
    "digits": "{{ " + "9" * 9_000 + " }}", "long": "a" * (MAX_SOURCE + 1),
}  # fmt: skip
ERRORS = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, SyntaxError,
          TypeError, ValueError)  # fmt: skip


def render(source: str) -> str:
    return BoundedTemplate(source).render(TALK, True, TOKENS)


@pytest.mark.parametrize("name", WITHOUT_END)
def test_template_without_an_end_is_refused_in_time(name, monkeypatch):
    monkeypatch.setattr("core.models.template_budget._SECONDS", 0.05)
    before = time.thread_time()
    with pytest.raises((TooCostly, RecursionError)):
        render(WITHOUT_END[name])
    assert time.thread_time() - before < 1.5


@pytest.mark.parametrize("name", SEARCHES)
def test_search_that_takes_minutes_is_refused_before_it_begins(name):
    before = time.thread_time()
    with pytest.raises(TooCostly, match="searches a text"):
        render(SEARCHES[name])
    assert time.thread_time() - before < 1.5


@pytest.mark.parametrize("call", FAST)
def test_search_in_linear_time_is_done(call):
    before = time.thread_time()
    render(MILLION + NEEDLE + "{{ " + call + " }}")
    assert time.thread_time() - before < 1.5


@pytest.mark.parametrize("name", WITHOUT_BOUND)
def test_template_that_makes_much_is_refused_before_it_does(name):
    process = psutil.Process()
    before, began = process.memory_info().vms, time.thread_time()
    with pytest.raises(ERRORS) as caught:
        render(WITHOUT_BOUND[name])
    assert not isinstance(caught.value, MemoryError)
    assert process.memory_info().vms - before < 2**29
    assert time.thread_time() - began < 1.5


@pytest.mark.parametrize("name", REFUSED)
def test_template_that_needs_more_than_the_dialect_is_refused(name):
    with pytest.raises(ERRORS):
        render(REFUSED[name])
