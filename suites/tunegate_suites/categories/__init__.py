"""Error categories: typed reasons for a miss, each with the part of the answer that shows it.

Every category is a pure function `(sample, settings) -> list[ErrorSpan]`, linear in the length of the answer.
"""
