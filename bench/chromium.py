"""Drives a headless Chromium over its DevTools protocol: what a page logs, asks the network for, shows, and costs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from uicgpu.report.picture import find_browser

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
SECONDS = 30


class Tab:
    """One open page.

    Attributes
    ----------
    errors
        Errors and warnings of the console, uncaught exceptions, violations of the content security policy.
    requests
        URLs that the page asked for.
    dialogs
        Texts of alerts.
    """

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._number = 0
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        """Call a DevTools method and return its result; events that arrive meanwhile are noted."""
        self._number += 1
        await self._socket.write_message(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await asyncio.wait_for(self._socket.read_message(), SECONDS))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            await self._note(message)

    async def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression; promises are awaited."""
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        for _ in range(SECONDS * 10):
            if await self.evaluate(f"Boolean({expression})"):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"never true: {expression}; errors: {self.errors}")

    async def move(self, x: float, y: float) -> None:
        """Move the mouse."""
        await self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    async def click(self, x: float, y: float) -> None:
        """Click with the left button."""
        await self.move(x, y)
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def processor_seconds(self) -> float:
        """Processor time that the page's main thread has used so far."""
        figures = (await self.call("Performance.getMetrics"))["metrics"]
        return float(next(entry["value"] for entry in figures if entry["name"] == "TaskDuration"))

    async def _note(self, message: dict[str, Any]) -> None:
        told, parameters = message.get("method"), message.get("params", {})
        if told == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(parameters["exceptionDetails"])[:500])
        elif told == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.errors.append(json.dumps(parameters["args"])[:500])
        elif told == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.errors.append(parameters["entry"]["text"])
        elif told == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif told == "Page.javascriptDialogOpening":
            self.dialogs.append(parameters["message"])


@contextlib.asynccontextmanager
async def open_page(url: str, *, width: int = 1280, height: int = 1000, dark: bool = False) -> AsyncIterator[Tab]:
    """Open ``url`` in a fresh browser with an empty profile; yields a :class:`Tab` once the page has loaded."""
    from tornado.websocket import websocket_connect

    program = find_browser()
    assert program is not None, "no Chromium is installed"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            address = await _address(Path(profile) / "DevToolsActivePort", process)
            browser = Tab(await websocket_connect(address, max_message_size=1 << 28))
            target = (await browser.call("Target.createTarget", url="about:blank"))["targetId"]
            host = address.split("/devtools/")[0]
            socket = await websocket_connect(f"{host}/devtools/page/{target}", max_message_size=1 << 28)
            tab = Tab(socket)
            for domain in ("Page", "Runtime", "Log", "Network"):
                await tab.call(f"{domain}.enable")
            await tab.call("Performance.enable", timeDomain="threadTicks")
            media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
            await tab.call("Emulation.setEmulatedMedia", features=media)
            await tab.call(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=height,
                deviceScaleFactor=1,
                mobile=width < 600,
            )
            await tab.call("Page.navigate", url=url)
            await tab.until("location.href !== 'about:blank' && document.readyState === 'complete'")
            yield tab
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _address(port_file: Path, process: subprocess.Popen[bytes]) -> str:
    for _ in range(SECONDS * 20):
        assert process.poll() is None, "the browser ended at once"
        if port_file.exists() and len(lines := port_file.read_text().splitlines()) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        await asyncio.sleep(0.05)
    raise AssertionError("the browser opened no debugging port")
