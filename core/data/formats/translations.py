"""Names of columns in other languages, each with the English name of the same part.

The comparison of names (`columns.folded_name`) reads a name of this table as its English one, so that every list of
usual names holds for all of these languages. Only names that hardly mean anything else are listed.
"""

# English name, and the names for it: Chinese (simplified, traditional), Japanese, Korean, Spanish, Portuguese, French,
# Italian, German, Dutch, Polish, Turkish, Russian, Ukrainian, Arabic, Hindi, Vietnamese, Indonesian.
_NAMES: dict[str, str] = {
    "instruction": "指令 指示 명령 지시 지시문 instrucción instruccion instrucciones instrução instrucao instruções "
    "consigne istruzione istruzioni anweisung aufgabe instructie instrukcja talimat инструкция інструкція تعليمات "
    "निर्देश instruksi",
    "input": "输入 輸入 入力 입력 entrada entrée entree eingabe invoer girdi ввод вход",
    "output": "输出 輸出 出力 출력 salida saída saida sortie ausgabe uitvoer çıktı вывод выход output_text",
    "question": "anfrage kundenanfrage "
    "问题 問題 提问 提問 问 問 问句 質問 質問文 질문 문제 pregunta preguntas pergunta perguntas domanda "
    "domande frage fragen fragestellung vraag pytanie soru вопрос вопросы питання запитання سؤال السؤال प्रश्न सवाल "
    "câu_hỏi pertanyaan",
    "answer": "回答 答案 答复 答覆 答 回复 回覆 解答 答え 応答 返答 답변 대답 답 응답 respuesta respuestas resposta "
    "respostas réponse reponse réponses risposta risposte antwort antworten antwoord odpowiedź odpowiedz cevap "
    "yanıt ответ ответы відповідь إجابة الإجابة جواب الجواب الرد उत्तर जवाब câu_trả_lời trả_lời jawaban",
    "prompt": "提示 提示词 提示詞 プロンプト 프롬프트 промпт",
    "system": "系统 系統 システム 시스템 sistema système systeme система",
    "system_prompt": "系统提示 系統提示 系统提示词 システムプロンプト 시스템_프롬프트",
    "context": "上下文 背景 文脈 コンテキスト 문맥 컨텍스트 contexto contexte contesto kontext контекст",
    "summary": "摘要 総括 要約 요약 resumen resumo résumé riassunto zusammenfassung резюме",
    "text": "文本 正文 テキスト 本文 텍스트 본문 texto texte testo текст",
    "label": "标签 標籤 ラベル 라벨 레이블 etiqueta étiquette etikett метка",
    "category": "类别 類別 カテゴリ 카테고리 categoría categoria catégorie kategorie категория",
    "conversation": "对话 對話 会话 対話 会話 대화 conversación conversacion conversa conversazione gespräch диалог",
    "history": "历史 歷史 历史对话 履歴 historial histórico historique verlauf история",
    "options": "选项 選項 選択肢 선택지 보기 opciones opções optionen варианты",
    "reasoning": "推理 思考 推論 추론 razonamiento raciocínio raisonnement begründung рассуждение",
    "score": "评分 評分 得分 分数 点数 점수 평점 puntuación puntuacion pontuação pontuacao punteggio bewertung "
    "punktzahl оценка балл",
    "term": "begriff fachbegriff término termo terme termine 術語 术语 用語 용어 термин",
    "definition": "definición definicion definição definicao définition definizione 定义 定義 정의 определение",
    "solution": "lösung loesung solución solucion solução solucao soluzione oplossing rozwiązanie решение рішення "
    "解决方案",
    "fix": "maßnahme maßnahmen abhilfe behebung fehlerbehebung",
    "cause": "ursache causa oorzaak причина 原因 원인",
    "error": "fehler störung stoerung fehlermeldung ошибка 错误 エラー",
    "quality": "qualität calidad qualidade qualité qualità kwaliteit jakość качество 质量 品質",
    "premise": "前提 전제 prämisse premisa premissa prémisse premessa посылка premis",
    "hypothesis": "假设 假設 仮説 가설 hypothese hipótesis hipotesis hipótese hypothèse ipotesi гипотеза",
    "weight": "权重 權重 重み 가중치 peso poids gewicht вес",
}  # fmt: skip
ENGLISH = {name: english for english, names in _NAMES.items() for name in names.split()}
