# SPDX-License-Identifier: Apache-2.0
"""Looks at a page in Debian's Chromium, without a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
WIDTHS = (400, 800, 1200, 1600)
SCHEMES = ("light", "dark")
HEIGHT = 900
LEAST_CONTRAST = 4.5  # WCAG 2.1, level AA

# Elements that are wider than the page, but for what scrolls by itself.
TOO_WIDE = """() => [...document.querySelectorAll('body *')].filter(each =>
  each.getBoundingClientRect().right > innerWidth + 0.5 && !each.closest('.scroll, svg'))
  .map(each => each.tagName + '.' + each.className).slice(0, 5)"""

# Texts whose contrast to what is behind them is less than the given one.
FAINT = """least => {
  const parsed = text => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number)
    return [r, g, b, a]
  }
  const over = (top, low) => [0, 1, 2].map(k => top[3] * top[k] + (1 - top[3]) * low[k])
  const behind = each => {
    const layers = []
    for (; each; each = each.parentElement) {
      layers.push(parsed(getComputedStyle(each).backgroundColor))
    }
    return layers.reverse().reduce((low, top) => over(top, low), [255, 255, 255])
  }
  const light = colour => colour.map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + [0.2126, 0.7152, 0.0722][k] * v, 0)
  const found = []
  for (const each of document.querySelectorAll('body *')) {
    const has = [...each.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())
    if (!has || each.closest('svg, script, .labels') || !each.getClientRects().length) continue
    const low = behind(each), own = over(parsed(getComputedStyle(each).color), low)
    const [a, b] = [light(own), light(low)].sort((x, y) => y - x)
    const contrast = (a + 0.05) / (b + 0.05)
    if (contrast < least) found.push(`${each.tagName}.${each.className} ${contrast.toFixed(2)}`)
  }
  return found.slice(0, 5)
}"""


class Browser:
    """A browser with one page."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.heard: list[str] = []
        page.on("console", lambda message: self.heard.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.heard.append(f"error: {error}"))
        page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith(("file:", "data:")):
            self.heard.append(f"request: {url}")

    def open(self, path: Path) -> None:
        self.heard.clear()
        self.page.goto(path.absolute().as_uri())

    def problems(self, widths: Sequence[int] = WIDTHS) -> list[str]:
        """Of the page that is open: what is too wide in each width, or too faint in light or dark,
        what it asked the network for, and what it complained about."""
        found = []
        for width in widths:
            self.page.set_viewport_size({"width": width, "height": HEIGHT})
            if self.page.evaluate("document.documentElement.scrollWidth") > width:
                found.append(f"{width} px: the page is too wide")
            found += [f"{width} px: too wide: {each}" for each in self.page.evaluate(TOO_WIDE)]
        for scheme in SCHEMES:
            self.page.emulate_media(color_scheme=scheme)
            faint = self.page.evaluate(FAINT, LEAST_CONTRAST)
            found += [f"{scheme}: too faint: {each}" for each in faint]
        return found + self.heard


@contextmanager
def browser() -> Iterator[Browser]:
    """Skips the test where playwright or Chromium is not installed."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with sync.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield Browser(launched.new_page(viewport={"width": WIDTHS[-1], "height": HEIGHT}))
        finally:
            launched.close()
