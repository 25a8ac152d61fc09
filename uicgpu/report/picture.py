"""The report as a picture for slides, taken by a browser that is already on the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from uicgpu.errors import MissingExtraError, UicError
from uicgpu.runs.folder import atomic_write

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTH: Final = 1280
HEIGHT: Final = 2000
SECONDS: Final = 90
SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


def find_browser() -> str | None:
    """Return the path of a Chromium, or None."""
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


def take_picture(page: Path, out: Path) -> Path:
    """Write the top of a report (figures, map, first clusters) as a PNG of 1280 x 2000 pixels.

    Raises
    ------
    MissingExtraError
        When no browser is installed.
    UicError
        When the browser gives no picture.
    """
    browser = find_browser()
    if browser is None:
        raise MissingExtraError(
            "a picture needs Chromium, and none is installed",
            fix="apt-get install chromium; --format md needs no browser",
        )
    with tempfile.TemporaryDirectory(prefix="uicgpu-picture-", ignore_cleanup_errors=True) as profile:
        shot = Path(profile) / "report.png"
        command = [
            browser,
            "--headless=new",
            "--hide-scrollbars",
            "--disable-gpu",
            "--no-first-run",
            "--virtual-time-budget=8000",
            f"--user-data-dir={profile}/profile",
            f"--window-size={WIDTH},{HEIGHT}",
            f"--screenshot={shot}",
            page.resolve().as_uri(),
        ]
        if os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium refuses its sandbox to root; the page holds no foreign script
        try:
            subprocess.run(command, check=False, timeout=SECONDS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as error:
            raise UicError(f"{browser} gave no picture in {SECONDS} s", where=str(page)) from error
        data = shot.read_bytes() if shot.is_file() else b""
        if not data.startswith(SIGNATURE):
            raise UicError(f"{browser} gave no picture", where=str(page), fix="open the report, and print it")
        with atomic_write(out) as temporary:
            temporary.write_bytes(data)
    return out
