"""Texts of realistic length in the languages that the network speaks most."""

import random
from functools import cache

# Share of posts by language tag.
LANGUAGES = {"en": 0.52, "ja": 0.20, "pt": 0.11, "de": 0.07, "es": 0.05, "ko": 0.05}
UNSPACED = {"ja"}
WORDS = {
    "en": """the a of to and in is it that was for on with you not this just have but they at all so my what
        about time people today really think good never always morning coffee weather garden train music record
        book paper science street window friend dog cat photo light river city work week story first last little
        long new old game season team score win lost finally again still maybe because though after before""",
    "ja": """今日は とても いい 天気 です ね 昨日 の 夜 に 映画 を 見ました 写真 猫 が かわいい おはよう
        ございます 仕事 終わった これから ご飯 食べる 楽しみ 新しい 絵 描いた 音楽 聴きながら 散歩 します
        駅前 公園 桜 雨 電車 本 読んで いる と 思う から でも そして やっぱり 少し ずっと""",
    "pt": """o a de que e do da em um para com não uma os no se na por mais as dos como mas ao ele das seu
        sua ou quando muito nos já eu também só pelo pela até isso hoje amanhã bom dia gente jogo time música
        trabalho praia café saudade semana""",
    "de": """der die das und in zu den nicht von sie ist des sich mit dem dass er es ein ich auf so eine
        auch als an nach wie im für man aber aus durch wenn nur war noch werden bei heute morgen Wetter Straße
        Übung schön Zug Verspätung Garten Bücher Frühstück Woche""",
    "es": """de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le
        ha me si sin sobre este ya entre cuando todo esta ser son dos también fue había era muy años hasta
        desde mañana gente música ciudad""",
    "ko": """오늘 날씨가 정말 좋다 고양이 사진을 찍었다 아침에 커피를 마시고 산책을 했다 새로운 노래를
        듣는다 내일은 비가 온다고 한다 책을 읽다가 잠들었다 친구와 함께 영화를 보았다 그리고 다시 집으로""",
}
ENDS = ("", ".", "!", "?", " 🎉")


@cache
def _words(language: str) -> list[str]:
    return WORDS[language].split()


def sentence(rng: random.Random) -> tuple[str, str]:
    """A language tag and a text of up to 282 characters in it, most of them short."""
    language = rng.choices(list(LANGUAGES), list(LANGUAGES.values()))[0]
    count = min(int(rng.lognormvariate(2.7, 0.7)) + 1, 45)
    text = ("" if language in UNSPACED else " ").join(rng.choices(_words(language), k=count))
    return language, (text[:1].upper() + text[1:])[:280] + rng.choice(ENDS)
