"""Columns named in other languages are read as those of the same English names."""

import unicodedata

import pytest

from core.data.formats import translations
from core.data.formats.columns import find_column, folded_name
from core.data.formats.detect import detect
from tests.helpers.question_rows import PROSE, QUESTIONS, rows_of

PAIRS = {
    "Chinese": ("问题", "回答"), "Chinese, to ask": ("提问", "答案"), "traditional Chinese": ("問題", "答覆"),
    "Japanese": ("質問", "回答"), "Korean": ("질문", "답변"), "Spanish": ("pregunta", "respuesta"),
    "German": ("Frage", "Antwort"), "French": ("question", "réponse"), "plain French": ("Question", "Reponse"),
    "Portuguese": ("Pergunta", "Resposta"), "Italian": ("domanda", "risposta"), "Russian": ("Вопрос", "Ответ"),
    "Dutch": ("vraag", "antwoord"), "Polish": ("pytanie", "odpowiedź"), "Turkish": ("soru", "cevap"),
    "Ukrainian": ("питання", "відповідь"), "Arabic": ("سؤال", "جواب"), "Hindi": ("प्रश्न", "उत्तर"),
    "Vietnamese": ("câu hỏi", "câu trả lời"), "Indonesian": ("pertanyaan", "jawaban"),
}  # fmt: skip
ALPACA = [
    ("指令", "输入", "输出"), ("指示", "入力", "出力"), ("명령", "입력", "출력"), ("instrucción", "entrada", "salida"),
    ("instrução", "entrada", "saída"), ("Anweisung", "Eingabe", "Ausgabe"), ("инструкция", "ввод", "вывод"),
]  # fmt: skip


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(("question", "answer"), PAIRS.values(), ids=PAIRS)
def test_detect_question_and_answer_in_another_language(question, answer, form):
    names = [unicodedata.normalize(form, name) for name in (question, answer)]
    found = detect(rows_of(**dict(zip(names, (QUESTIONS, PROSE), strict=True))))
    assert found.reading.format == "prompt_completion", found.evidence
    messages = found.reading.parse(dict(zip(names, ("Why?", "So."), strict=True)))
    assert [m["content"] for m in messages] == ["Why?", "So."]


@pytest.mark.parametrize("names", ALPACA)
def test_detect_alpaca_in_another_language(names):
    found = detect(rows_of(**dict(zip(names, (QUESTIONS, PROSE, PROSE[::-1]), strict=True))))
    assert found.reading.format == "alpaca", found.evidence
    messages = found.reading.parse(dict(zip(names, ("Why?", "Briefly.", "So."), strict=True)))
    assert [m["content"] for m in messages] == ["Why?\n\nBriefly.", "So."]


def test_detect_system_prompt_in_another_language_is_used():
    found = detect(rows_of(系统=["你是助手。"] * 4, 问题=QUESTIONS, 回答=PROSE))
    assert found.reading.parse({"系统": "a", "问题": "b", "回答": "c"})[0] == {"role": "system", "content": "a"}


def test_detect_two_languages_side_by_side_ask():
    found = detect(rows_of(question=QUESTIONS, pregunta=PROSE, answer=PROSE[::-1], respuesta=QUESTIONS[::-1]))
    assert found.reading.format == "undecided"


def test_detect_label_in_another_language_is_no_plain_text():
    rows = rows_of(texto=[text * 3 for text in PROSE], etiqueta=["a", "b", "a", "b"])
    assert detect(rows).reading.format == "label"


def test_translations_name_each_part_once():
    listed = [name for names in translations._NAMES.values() for name in names.split()]
    assert len(listed) == len(set(map(str.casefold, listed)))
    assert not set(translations.ENGLISH) & set(translations._NAMES)


@pytest.mark.parametrize("name", ["questions_count", "pregunta_id", "respuestas correctas 2", "Fragebogen"])
def test_longer_names_are_no_translations(name):
    assert folded_name(name) not in ("question", "answer")
    assert find_column([name], ("question", "answer")) is None
