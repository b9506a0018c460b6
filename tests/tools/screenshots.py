# SPDX-License-Identifier: Apache-2.0
"""Remakes the screenshots that the documentation shows, docs/images/*.png.

They are of the demonstration and of a plan of its model. Run `python -m tests.tools.screenshots`
where Chromium and playwright are installed; it takes about two minutes. With a page in place of the
demonstration, `--report FILE.html`, it takes seconds.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.browser import Browser, browser
from tests.support.paths import ROOT

IMAGES = ROOT / "docs" / "images"
MODEL = ROOT / "examples" / "watch" / "watch.tflite"
PLAN = ("--update", "full", "--html")
WIDTH, HEIGHT = 1200, 1340
COLOURS = 256
MOST_BYTES = 150_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--report", type=Path, help="a report that is there already")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, browser() as found:
        report = given.report or made(Path(folder) / "demo.html", "demo", "--report")
        plan = made(Path(folder) / "plan.html", "plan", MODEL, *PLAN)
        for scheme in ("light", "dark"):
            shoot(found, report, f"report-{scheme}", scheme)
        shoot(found, report, "report-classes", "light", "#classes")
        shoot(found, plan, "plan-page", "light", "#arena")


def made(page: Path, *arguments: object) -> Path:
    """The page that a command writes."""
    words = (sys.executable, "-m", "mcutrain", *map(str, arguments), str(page))
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return page


def shoot(found: Browser, page: Path, name: str, scheme: str, part: str = "") -> None:
    """Write the picture ``name`` of the head of a page, or of a ``part`` of it."""
    found.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    found.page.emulate_media(color_scheme=scheme)
    found.open(page)
    raw = found.page.locator(part).screenshot() if part else found.page.screenshot()
    small = reduced(raw)
    path = IMAGES / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(small)
    print(f"{path.relative_to(ROOT)}: {len(small):,} bytes")
    if len(small) > MOST_BYTES:
        raise SystemExit(f"{path} has more than {MOST_BYTES:,} bytes")


def reduced(raw: bytes) -> bytes:
    """A PNG with a palette: a third of the bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.open(io.BytesIO(raw)).convert("RGB")
    image.quantize(COLOURS, Image.Quantize.MEDIANCUT).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
