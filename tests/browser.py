"""A headless Chromium that is told what to do over a pipe, in the DevTools protocol."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_PATIENCE = 60.0  # seconds for any one answer; the machine may be busy
# The browser wants its commands at descriptor 3 and answers at 4, which subprocess cannot arrange.
_ARRANGE = "import os, sys; os.dup2({}, 3); os.dup2({}, 4); os.execvp(sys.argv[1], sys.argv[1:])"
_KEYS = {"Enter": ("\r", 13), "Backspace": ("", 8), "Tab": ("", 9), "Escape": ("", 27), "Home": ("", 36)}
_KEYS |= {"ArrowDown": ("", 40), "ArrowUp": ("", 38), "ArrowLeft": ("", 37), "ArrowRight": ("", 39)}
_KEYS |= {"End": ("", 35), "PageDown": ("", 34)}


class Browser:
    """One browser with one page.

    ``profile``: an empty directory for what it keeps.
    ``told``: every event since :meth:`load`, as (method, parameters).
    """

    def __init__(self, profile: Path) -> None:
        ours = [*os.pipe(), *os.pipe()]
        # Out of the way of 3 and 4.
        pipes = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in ours]
        for fd in ours:
            os.close(fd)
        theirs_in, self._commands, self._answers, theirs_out = pipes
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", _ARRANGE.format(theirs_in, theirs_out), "chromium"),
                *("--headless=new", "--no-sandbox", "--remote-debugging-pipe", f"--user-data-dir={profile}"),
                *("--disable-gpu", "--no-first-run", "--disable-background-networking", "--hide-scrollbars"),
                *("--disable-component-update", "--disable-dev-shm-usage", "--force-color-profile=srgb"),
            ],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(profile), "LC_ALL": "C.UTF-8"},
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._next = 0
        self._held = b""
        self._session = ""
        self.told: list[tuple[str, dict[str, Any]]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self.send(f"{domain}.enable")

    def close(self) -> None:
        """End it."""
        os.close(self._commands)
        os.close(self._answers)
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its answer."""
        self._next += 1
        message: dict[str, Any] = {"id": self._next, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        while True:
            got = self._receive()
            if got.get("id") == self._next:
                assert "error" not in got, (method, got["error"])
                answer: dict[str, Any] = got["result"]
                return answer
            if "method" in got:
                self.told.append((got["method"], got["params"]))

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._held:
            ready, _, _ = select.select([self._answers], [], [], _PATIENCE)
            data = os.read(self._answers, 1 << 20) if ready else b""
            assert data, "the browser says nothing more"
            self._held += data
        line, _, self._held = self._held.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def load(self, page: Path, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Show a file in a window of this size and colour scheme, and wait until it has loaded."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.told.clear()
        self.send("Page.navigate", url=page.as_uri())
        end = time.monotonic() + _PATIENCE
        while not any(method == "Page.loadEventFired" for method, _ in self.told):
            assert time.monotonic() < end, "the page does not load"
            self.send("Runtime.evaluate", expression="0")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page; a promise is waited for."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until an expression is true in the page."""
        end = time.monotonic() + _PATIENCE
        while not self.run(f"!!({script})"):
            assert time.monotonic() < end, script
            time.sleep(0.02)

    def press(self, *keys: str) -> None:
        """Press keys, each by its name."""
        for key in keys:
            text, code = _KEYS[key]
            told = {"key": key, "code": key, "windowsVirtualKeyCode": code}
            self.send("Input.dispatchKeyEvent", type="keyDown", **told, **({"text": text} if text else {}))
            self.send("Input.dispatchKeyEvent", type="keyUp", **told)

    def write(self, text: str) -> None:
        """Type text where the focus is."""
        self.send("Input.insertText", text=text)

    def click(self, element: str) -> None:
        """Click in the middle of what a JavaScript expression gives."""
        x, y = self.run(
            f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}});"
            " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, to: Path) -> None:
        """Save what is seen as a PNG."""
        shot = self.send("Page.captureScreenshot", format="png")
        to.write_bytes(base64.b64decode(shot["data"]))


def main(page: str, to: str) -> None:
    """Save what a page looks like: wide and narrow, light and dark."""
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(Path(profile))
        for width, height in ((1280, 1100), (390, 1500)):
            for scheme in ("light", "dark"):
                browser.load(Path(page).resolve(), width, height, scheme)
                browser.picture(Path(to) / f"{width}-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
