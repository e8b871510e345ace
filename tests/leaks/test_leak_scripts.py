"""Leaks in scripts that put no spaces between words, and in texts that mix scripts."""

from __future__ import annotations

import pytest

from tests.support.leak_helpers import found, kinds, prompts, rows, suite
from tunegate.cases.case import Case
from tunegate.leaks.leakage import compare, excerpt
from tunegate.leaks.texts import row_as_it_is
from tunegate.suites.told_answers import told_by
from tunegate.text.words import word_spans

CHINESE = "一名三岁男孩因反复感染和湿疹就诊，血小板减少，请问最可能的致病基因是哪一个？"
QUESTIONS = {
    "Chinese": CHINESE,
    "traditional": "一名三歲男孩因反覆感染和濕疹就診，血小板減少，請問最可能的致病基因是哪一個？",
    "Japanese": "三歳の男児が繰り返す感染と湿疹で受診した。血小板が減少している。最も可能性の高い遺伝子は何ですか。",
    "katakana": "フェニルケトンショウノカンジャニケツボウシテイルコウソハナニカコタエナサイ",
    "Thai": "เด็กชายอายุสามปีมีการติดเชื้อซ้ำและผื่นผิวหนังอักเสบเกล็ดเลือดต่ำยีนใดเป็นสาเหตุที่เป็นไปได้มากที่สุด",
    "Lao": "ເດັກຊາຍອາຍຸສາມປີມີການຕິດເຊື້ອຊ້ຳແລະຜື່ນຜິວໜັງອັກເສບເກັດເລືອດຕ່ຳຢີນໃດເປັນສາເຫດທີ່ເປັນໄປໄດ້ຫຼາຍທີ່ສຸດ",
    "Khmer": "ក្មេងប្រុសអាយុបីឆ្នាំមានការឆ្លងមេរោគម្តងហើយម្តងទៀតនិងជំងឺស្បែកតើហ្សែនណាជាមូលហេតុដែលអាចកើតមានបំផុត",
    "Burmese": "အသက်သုံးနှစ်အရွယ်ယောက်ျားလေးသည်ထပ်ခါတလဲလဲကူးစက်ခြင်းနှင့်နှင်းခူရောဂါဖြင့်လာရောက်ပြသခဲ့သည်မည်သည့်ဗီဇကြောင့်ဖြစ်သနည်း",
    "mixed": "BRCA1基因の変異はどの疾患のリスクを上げるか、またPARP阻害薬は有効ですか。",
}
every_script = pytest.mark.parametrize("asked", QUESTIONS.values(), ids=QUESTIONS)


@every_script
def test_a_row_that_holds_a_case_in_a_longer_text_contains_it(asked: str) -> None:
    assert kinds(f"请回答。{asked}OK", asked) == {"containment"}
    assert kinds(f"答える前によく読むこと{asked}以上", asked) == {"containment"}


@every_script
def test_a_row_with_one_word_changed_is_nearly_the_case(asked: str) -> None:
    middle = len(asked) // 2
    changed = asked[:middle] + "肝ก"[asked == QUESTIONS["Thai"]] + asked[middle + 1 :]
    assert kinds(changed, asked) == {"near_duplicate"}


@every_script
def test_spaces_and_unseen_characters_hide_nothing(asked: str) -> None:
    seventh = list(word_spans(asked))[7][0]
    for disguised in (
        "\u200b".join(asked),
        asked.replace("，", " ，　"),
        f"  {asked} ",
        asked[:seventh] + " " + asked[seventh:],
        asked.replace("。", "\n"),
    ):
        assert kinds(disguised, asked) == {"exact"}


@pytest.mark.parametrize(
    ("taught", "asked"),
    [
        ("ﾌｪﾆﾙｹﾄﾝ尿症の原因は何ですか", "フェニルケトン尿症の原因は何ですか？"),
        ("ＢＲＣＡ１遺伝子の役割は？", "BRCA1遺伝子の役割は？"),
        ("BRCA1 基因 的 作用 是 什么", "BRCA1基因的作用是什么？"),
        ("か\u3099んの原因", "がんの原因"),
    ],
)
def test_forms_of_characters_are_one(taught: str, asked: str) -> None:
    assert kinds(taught, asked) == {"exact"}


def test_a_short_case_is_found_as_a_sentence_or_a_phrase() -> None:
    asked = "血友病的遗传方式是什么？"
    assert kinds(f"请回答：{asked}谢谢。", asked) == {"containment"}
    assert kinds("คำถาม โรคฮีโมฟีเลียถ่ายทอดอย่างไร ขอบคุณ", "โรคฮีโมฟีเลียถ่ายทอดอย่างไร") == {"containment"}


@pytest.mark.parametrize("other", [
    "一名三岁女孩因骨折和蓝色巩膜就诊，听力下降，请问最可能的致病基因是哪一个？",
    "血友病的遗传方式是什么？",
    "请问最可能的致病基因是哪一个？",
    "天气很好，我们去公园散步吧，带上面包和水果，下午再回家。",
])  # fmt: skip
def test_another_question_on_the_same_topic_is_none(other: str) -> None:
    assert not kinds(other, CHINESE)


def test_a_short_answer_in_chinese_is_a_label_and_no_secret() -> None:
    facts = suite(Case("a", "血友病怎样遗传？", ("伴性隐性遗传",)), Case("b", "马凡综合征呢？", ("常染色体显性遗传",)))
    assert not compare(rows("他的病是伴性隐性遗传的吗？", answer="不，是常染色体显性遗传"), [facts])


def test_raw_rows_know_a_question_without_spaces_from_a_label() -> None:
    both = prompts(CHINESE, "良性")
    row = row_as_it_is("t.jsonl", 1, {"question": CHINESE, "answer": "良性"})
    assert row.questions == (CHINESE,)
    assert found(compare([row], [both])) == [(1, "c1", "exact")]
    assert row_as_it_is("t.jsonl", 1, {"q": CHINESE, "conversations": []}).questions == (CHINESE,)


def test_a_chinese_system_message_that_holds_a_question_and_its_answer_tells_it() -> None:
    case = Case("a", "血友病的遗传方式是什么？", ("伴性隐性",))
    assert told_by("你是专家。血友病的遗传方式是什么？答案是伴性隐性。请回答。", [case]) == {"a": "伴性隐性"}


def test_an_excerpt_begins_where_the_shared_text_does() -> None:
    text = "天" * 3000 + CHINESE
    assert CHINESE[:10] in excerpt(text, CHINESE, 200)


def test_one_character_changed_near_the_beginning_is_no_containment_yet() -> None:
    assert kinds(CHINESE.replace("三岁", "四岁"), CHINESE) == {"near_duplicate"}


ARABIC = "ما هو الجين المتحور لدى مرضى متلازمة بلوم وهو اضطراب نادر في النمو واستقرار الجينوم؟"
HEBREW = "איזה גן מוטנטי בחולים עם תסמונת בלום, הפרעה נדירה של גדילה ויציבות גנומית?"


@pytest.mark.parametrize(
    ("asked", "taught"),
    [
        (ARABIC, "".join(sign + ("\u064e" if sign.isalpha() else "") for sign in ARABIC)),
        (ARABIC, ARABIC.replace("م", "مـ")),
        (ARABIC.replace("ا", "أ"), ARABIC),
        (HEBREW, "".join(sign + ("\u05b7" if sign.isalpha() else "") for sign in HEBREW)),
    ],
)
def test_vowel_points_and_stretched_words_hide_nothing(asked: str, taught: str) -> None:
    assert kinds(taught, asked) == kinds(asked, taught) == {"exact"}
