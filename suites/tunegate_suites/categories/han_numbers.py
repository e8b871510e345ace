"""Numbers written in Chinese characters: 三千, 二十四, 二〇二四, 五万."""

from __future__ import annotations

import re

_DIGITS = {**{sign: value for value, sign in enumerate("〇一二三四五六七八九")}, "零": 0, "两": 2, "兩": 2}
_UNITS = {"十": 10, "百": 100, "千": 1000}
HAN_POWERS = {**_UNITS, "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
"""Characters that multiply the number before them."""
HAN_NUMBER = re.compile(f"[{''.join(_DIGITS)}{''.join(HAN_POWERS)}]+")


def han_readings(number: str) -> set[str]:
    """The possible values of such a number, in digits: 二四 is 24 by its digits, 十二 is 12 by its units."""
    if all(sign in _DIGITS for sign in number):
        return {"".join(str(_DIGITS[sign]) for sign in number).lstrip("0") or "0"}
    total = section = digit = 0
    for sign in number:
        if sign in _DIGITS:
            digit = _DIGITS[sign]
        elif sign in _UNITS:
            section, digit = section + (digit or 1) * _UNITS[sign], 0
        elif total < HAN_POWERS[sign]:  # 三万亿
            total, section, digit = (total + section + digit or 1) * HAN_POWERS[sign], 0, 0
        else:  # 一亿二千万
            total, section, digit = total + (section + digit) * HAN_POWERS[sign], 0, 0
    return {str(total + section + digit)}
