import random

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from core.evaluate.metrics.overlap import CorpusScorer, exact_match, overlap_scores, word_f1
from core.evaluate.metrics.words import split_words

TEXTS = st.text(max_size=30)


@pytest.mark.parametrize(
    ("answer", "reference", "f1"),
    [("a b c", "a b c", 1), ("A, b!", "a b", 1), ("a b", "b c", 0.5), ("a", "b", 0), ("a a", "a", 2 / 3), ("", "a", 0),
     ("", "", None), ("a", "...", None)],
)  # fmt: skip
def test_word_f1_counts_repeated_words(answer, reference, f1):
    assert word_f1(answer, reference) == (None if f1 is None else pytest.approx(f1))


@given(TEXTS, TEXTS)
def test_word_f1_is_symmetric_in_0_to_1_and_1_for_equal_words(a, b):
    first, second = word_f1(a, b), word_f1(b, a)
    assert first is None or 0 <= first <= 1
    assert first == second or not split_words(a) or not split_words(b)
    assert word_f1(a, a) in (1, None)
    assert not exact_match(a, b) or first in (1, None)


@pytest.mark.parametrize(
    ("answer", "reference", "is_match"),
    [("Yes!", "yes", True), ("yes no", "no yes", False), ("", "yes", False), ("👍", "👍", True), ("👍", "👎", False),
     ("", "?", False)],
)  # fmt: skip
def test_exact_match_compares_a_reference_without_words_as_text(answer, reference, is_match):
    assert exact_match(answer, reference) is is_match


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop, it's 3.5!", "don t stop it s 3 5"),
        ("Привет, МИР", "привет мир"),
        ("日本語です。", "日 本 語 で す"),
        ("हिन्दी में", "हिन्दी में"),
        ("สวัสดี", "ส วั ส ดี"),
        ("Größe STRASSE straße", "grösse strasse strasse"),
        ("안녕 세상", "안녕 세상"),
        ("…", ""),
    ],
)
def test_split_words_finds_words_in_all_scripts(text, words):
    assert split_words(text) == tuple(words.split())


def random_pairs(count=30):
    numbers = random.Random(0)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "one", "dog,", "two", "dogs.", "Then", "It", "ran!"]
    return [tuple(" ".join(numbers.choices(words, k=numbers.randint(low, 25))) for low in (0, 2)) for _ in range(count)]


def test_rouge_on_english_text_equals_rouge_score_with_its_own_tokenizer():
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    for answer, reference in random_pairs():
        found, expected = overlap_scores(answer, reference), scorer.score(reference, answer)
        assert {name: found[name] for name in ("rouge_1", "rouge_2", "rouge_l")} == {
            "rouge_1": expected["rouge1"].fmeasure,
            "rouge_2": expected["rouge2"].fmeasure,
            "rouge_l": pytest.approx(expected["rougeL"].fmeasure),
        }


def test_rouge_of_other_scripts_has_a_value():
    # Worked example: 3 of 4 words in common, 2 of 3 pairs, and the longest common subsequence has 3 words.
    found = overlap_scores("кот сидит на окне", "кот сидит на столе")
    assert (found["rouge_1"], found["rouge_l"]) == (0.75, 0.75)
    assert found["rouge_2"] == pytest.approx(2 / 3)
    assert overlap_scores("我爱猫", "我爱狗")["rouge_1"] == pytest.approx(2 / 3)


def test_bleu_and_chrf_equal_sacrebleu_by_row_and_as_a_whole():
    scorer, pairs = CorpusScorer(), random_pairs()
    for answer, reference in pairs:
        assert scorer.add(answer, reference) == {
            "bleu": sacrebleu.sentence_bleu(answer, [reference]).score,
            "chrf": sacrebleu.sentence_chrf(answer, [reference]).score,
        }
    answers, references = zip(*pairs, strict=True)
    assert scorer.totals() == {
        "bleu": pytest.approx(sacrebleu.corpus_bleu(answers, [references]).score),
        "chrf": pytest.approx(sacrebleu.corpus_chrf(answers, [references]).score),
    }


def test_bleu_of_a_script_without_spaces_counts_characters():
    answer, reference = "你好世界我们都在", "你好世界我们都走"
    assert CorpusScorer().add(answer, reference)["bleu"] == pytest.approx(
        sacrebleu.sentence_bleu(answer, [reference], tokenize="char").score
    )


@pytest.mark.parametrize(
    ("answer", "reference", "missing"),
    [
        ("text", "", {"exact_match", "word_f1", "rouge_1", "rouge_2", "rouge_l", "length_ratio", "bleu", "chrf"}),
        ("text", " \n", {"exact_match", "word_f1", "rouge_1", "rouge_2", "rouge_l", "length_ratio", "bleu", "chrf"}),
        ("text", "!?", {"word_f1", "rouge_1", "rouge_2", "rouge_l", "length_ratio"}),
        ("text", "one", {"rouge_2"}),
        ("", "two words", set()),
    ],
)
def test_metrics_without_a_usable_reference_have_no_value(answer, reference, missing):
    names = {"exact_match", "word_f1", "rouge_1", "rouge_2", "rouge_l", "length_ratio", "bleu", "chrf"}
    found = {**overlap_scores(answer, reference), **CorpusScorer().add(answer, reference)}
    assert names - found.keys() == missing
    # An empty answer beside a reference is wrong, so it counts as 0 instead of being left out.
    assert answer or set(found.values()) == {0.0}


def test_totals_without_rows_have_no_value():
    scorer = CorpusScorer()
    scorer.add("answer", "")
    assert scorer.totals() == {}
