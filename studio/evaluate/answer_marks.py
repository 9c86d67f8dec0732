"""HTML of answers with marks: spans that stand in the training rows, or tokens colored by their likelihood."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from components.conversation import conversation_html, toned_tokens_html
from core.evaluate.line_file import Line
from core.evaluate.memorization.tracing import TextSpan
from studio.html import render

# Number of colors of spans, which are given in turn, the longest span first.
_TONES = 4
# Differences in nats from which on a token is more or less likely, and much more or less: factors of 1.6 and 7.4.
_SOME, _MUCH = 0.5, 2.0
_LEGEND = (
    ("less2", f"much less likely (1/{math.exp(_MUCH):.1f})"), ("less1", f"less likely (1/{math.exp(_SOME):.1f})"),
    ("same", "alike"), ("more1", f"more likely ({math.exp(_SOME):.1f} times)"),
    ("more2", f"much more likely ({math.exp(_MUCH):.1f} times)"),
)  # fmt: skip


def copied_html(text: str, spans: Sequence[TextSpan], subset: str) -> Markup:
    """Return an answer with its copied spans as buttons, and the list of them.

    Args:
        text: The answer.
        spans: Its spans, longest first.
        subset: The subset whose rows they stand in.
    """
    ranked = [(span, rank % _TONES) for rank, span in enumerate(spans)]
    parts, end = [], 0
    for span, tone in sorted(ranked, key=lambda pair: pair[0].start):
        # Spans of tokens can overlap by one character: several tokens may share the bytes of one.
        start = max(span.start, end)
        parts += [(text[end:start], None, 0), (text[start : span.end], span, tone)]
        end = max(span.end, end)
    parts.append((text[end:], None, 0))
    return render("evaluate/copied_answer", parts=parts, ranked=ranked, subset=subset)


def copied_legend(subset: str, run: str) -> Markup:
    """Return what the marks of copied spans mean.

    Args:
        subset: The subset that was searched.
        run: Title of the run that was trained on it.
    """
    return render("evaluate/copied_legend", subset=subset, run=run)


def likelihood_html(text: str, line: Line | None, first: int, second: int, titles: Sequence[str]) -> Markup:
    """Return an answer's tokens, colored by how much more likely the judged lane finds them than the reference lane.

    If one of the lanes has not read the answer, return its plain text with the reason.

    Args:
        text: The answer.
        line: Its line of lens.jsonl; None if there is none.
        first: The reference lane.
        second: The judged lane.
        titles: Titles of the lanes.
    """
    reference, judged = (line["losses"][lane] if line else None for lane in (first, second))
    if line is None or not reference or not judged:
        reason = line["note"] if line and line["note"] else "the models have not read this answer yet."
        answer = conversation_html([{"role": "assistant", "content": text}])
        return render("evaluate/no_likelihood", reason=reason, answer=answer)
    pieces = [
        (token, f"lens-{_tone(before - after)}", _tooltip(before, after, titles[first], titles[second]))
        for token, before, after in zip(line["tokens"], reference, judged, strict=True)
    ]
    means = [(titles[lane], sum(losses) / len(losses)) for lane, losses in ((first, reference), (second, judged))]
    sums = [(title, f"{mean:.3f}", f"{math.exp(min(mean, 700)):,.2f}") for title, mean in means]
    return render(
        "evaluate/likelihood", tokens=toned_tokens_html(pieces), sums=sums, count=len(pieces), is_cut=line["cut"]
    )


def _tone(gain: float) -> str:
    """Return the color of a token whose loss is lower by `gain` nats under the judged lane."""
    if abs(gain) < _SOME:
        return "same"
    return f"{'more' if gain > 0 else 'less'}{2 if abs(gain) >= _MUCH else 1}"


def _tooltip(before: float, after: float, first: str, second: str) -> str:
    """Return the numbers of a token, from its losses under the reference lane and under the judged lane."""
    change = f"{before - after:+.2f}".replace("-", "−")
    return f"{change} nats: {second} {_percent(after)}, {first} {_percent(before)}"


def _percent(loss: float) -> str:
    """Return the probability of a token as text."""
    share = 100 * math.exp(-loss)
    return f"{share:.1f}%" if share >= 0.1 else "below 0.1%"


def likelihood_legend(first: str, second: str) -> Markup:
    """Return what the colors of tokens mean.

    Args:
        first: Title of the reference lane.
        second: Title of the judged lane.
    """
    return render("evaluate/likelihood_legend", first=first, second=second, tones=_LEGEND)
