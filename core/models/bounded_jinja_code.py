"""Generator of a chat template's Python code, which asks the budget of the rendering at every loop, call and value.

The code that it generates uses these attributes of its environment (`core.models.bounded_jinja`): `tick` checks the
time, `charge` weighs a value that was made, `finalize` one that is about to be written, and `join` makes one text.
"""

from collections.abc import Callable
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame


def _tick() -> nodes.EnvironmentAttribute:
    # Reading the attribute asks for the time; it is always true.
    return nodes.EnvironmentAttribute("tick", lineno=1)


class BoundedCode(CodeGenerator):
    """Generator of a template's code that asks the budget."""

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        """Write a loop that checks the time in each iteration, and before its condition."""
        node.body = [nodes.ExprStmt(_tick(), lineno=node.lineno), *node.body]
        node.test = node.test and nodes.And(_tick(), node.test, lineno=node.lineno)
        super().visit_For(node, frame)

    def macro_body(self, node: Any, frame: Frame) -> Any:
        """Write a macro or the body of a call that checks the time."""
        node.body = [nodes.ExprStmt(_tick(), lineno=node.lineno), *node.body]
        return super().macro_body(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        """Write the joining of texts by `~` within the budget."""
        self._wrap("environment.join((", lambda: self._items(node.nodes, frame), "))")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        """Write a comparison that checks the time: searching a long text takes some."""
        self._wrap("(environment.tick and ", lambda: super(BoundedCode, self).visit_Compare(node, frame), ")")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        """Write a subscript; a slice is a value that is made."""
        sliced = isinstance(node.arg, nodes.Slice)
        self._charged(sliced, lambda: super(BoundedCode, self).visit_Getitem(node, frame))

    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        """Write a list, which is weighed."""
        self._charged(bool(node.items), lambda: super(BoundedCode, self).visit_List(node, frame))

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:
        """Write a tuple, which is weighed unless it is assigned to."""
        self._charged(node.ctx == "load", lambda: super(BoundedCode, self).visit_Tuple(node, frame))

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        """Write a dict, which is weighed."""
        self._charged(bool(node.items), lambda: super(BoundedCode, self).visit_Dict(node, frame))

    def visit_ScopedEvalContextModifier(self, node: nodes.ScopedEvalContextModifier, frame: Frame) -> None:
        """Refuse escaping, which joins texts in other ways."""
        self.fail("chat templates write text, which is not escaped", node.lineno)

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        # Expressions of constants would be computed here, before any budget.
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible()
        return super()._output_child_to_const(node, frame, finalize)

    def _items(self, items: list[nodes.Expr], frame: Frame) -> None:
        for item in items:
            self.visit(item, frame)
            self.write(", ")

    def _charged(self, is_made: bool, write: Callable[[], None]) -> None:
        self._wrap("environment.charge(" if is_made else "", write, ")" if is_made else "")

    def _wrap(self, before: str, write: Callable[[], None], after: str) -> None:
        self.write(before)
        write()
        self.write(after)
