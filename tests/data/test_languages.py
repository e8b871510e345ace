"""Which language a text is in: one text each of the known languages, and texts that are too short."""

from __future__ import annotations

import pytest

pytest.importorskip("py3langid")

from tunegate.data.languages import base_code, known_languages, likeliest_language

TEXTS = {
    "ar": "كيف تنتقل هذه الحالة بالوراثة وما هو الجين المسؤول عنها؟",
    "cs": "Jak se toto onemocnění dědí a který gen je za něj zodpovědný?",
    "da": "Hvordan nedarves denne sygdom, og hvilket gen er ansvarligt for den?",
    "de": "Wie wird diese Krankheit vererbt, und welches Gen ist dafür verantwortlich?",
    "el": "Πώς κληρονομείται αυτή η πάθηση και ποιο γονίδιο είναι υπεύθυνο;",
    "en": "How is this condition inherited, and which gene is responsible for it?",
    "es": "¿Cómo se hereda esta enfermedad y qué gen es el responsable de ella?",
    "fi": "Miten tämä sairaus periytyy ja mikä geeni on siitä vastuussa?",
    "fr": "Comment cette maladie se transmet-elle, et quel gène en est responsable ?",
    "he": "כיצד המצב הזה עובר בתורשה, ואיזה גן אחראי לו בדרך כלל?",
    "hi": "यह रोग वंशानुक्रम से कैसे मिलता है और इसके लिए कौन सा जीन जिम्मेदार है?",
    "hu": "Hogyan öröklődik ez a betegség, és melyik gén felelős érte?",
    "it": "Come si eredita questa malattia e quale gene ne è responsabile?",
    "ja": "この病気はどのように遺伝し、どの遺伝子が原因となっているのでしょうか。",
    "ko": "이 질환은 어떻게 유전되며 어떤 유전자가 그 원인이 되는 것입니까?",
    "nl": "Hoe wordt deze aandoening overgeërfd en welk gen is ervoor verantwoordelijk?",
    "pl": "Jak dziedziczy się tę chorobę i który gen jest za nią odpowiedzialny?",
    "pt": "Como esta doença é herdada e qual é o gene responsável por ela?",
    "ru": "Как наследуется это заболевание и какой ген за него отвечает?",
    "sv": "Hur ärvs den här sjukdomen och vilken gen är ansvarig för den?",
    "th": "โรคนี้ถ่ายทอดทางพันธุกรรมอย่างไร และยีนใดเป็นสาเหตุของโรคนี้",
    "tr": "Bu hastalık nasıl kalıtılır ve hangi gen bundan sorumludur?",
    "uk": "Як успадковується це захворювання і який ген за нього відповідає?",
    "vi": "Bệnh này di truyền như thế nào và gen nào chịu trách nhiệm cho nó?",
    "zh": "这种疾病是如何遗传的?哪个基因是造成这种情况的原因?请说明它的染色体位置。",
}


@pytest.mark.parametrize(("code", "text"), TEXTS.items())
def test_each_language_is_told_and_surely(code: str, text: str) -> None:
    likeliest = likeliest_language(text)
    assert likeliest is not None
    assert likeliest[0] == code
    assert likeliest[1] > 0.6
    assert likeliest_language(text) == likeliest


@pytest.mark.parametrize("text", ["", "ok", "42 is 42", "x x x x x x x x x x x x x x x x x x x x x x x x x"])
def test_too_little_to_tell(text: str) -> None:
    assert likeliest_language(text) is None


def test_languages_by_the_codes_that_people_use() -> None:
    assert [base_code(code) for code in ("en-GB", "zh-cn", "zh_Hans", "nb", "NO", "de")] == (
        ["en", "zh", "zh", "no", "no", "de"]
    )
    assert {"en", "zh", "nb", "fil"} <= known_languages()
    assert not {"zxx", "xx"} & known_languages()
