"""What tests do on a page of a report: rows, filters, unfolding a case, and the contrast of every text."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")


Open = Callable[..., Any]
"""Opens the report of a run; see browser_fixtures.py."""


def rows(page: Any) -> Any:
    return page.locator("tr.case")


def status(page: Any) -> str:
    return page.locator("#cases [role=status]").inner_text()


def unfold(page: Any, words: str) -> Any:
    page.locator("input[type=search]").fill(words)
    rows(page).first.locator("button").click()
    return page.locator("tr.unfolded")


CONTRASTS = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return parse(getComputedStyle(document.body).backgroundColor);
  };
  const low = [];
  for (const one of document.querySelectorAll('body *')) {
    const text = [...one.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join('').trim();
    if (!text || !one.checkVisibility() || one.closest('script, style, option')) continue;
    const style = getComputedStyle(one);
    const ink = parse(one instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push(`${ratio.toFixed(2)} ${one.tagName}.${one.getAttribute('class')} ${text.slice(0, 30)}`);
  }
  return [...new Set(low)];
}"""
