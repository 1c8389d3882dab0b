"""A real browser, asked by its own protocol through two pipes: Chromium, headless, without a window or a network.

No package is needed for it. Where there is no Chromium, `PROGRAM` is None.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell")

PROGRAM: Final = os.environ.get("MOCKSELECTOR_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
"""Where it is; None: it is not there."""

MISSING: Final = "no Chromium was found: the page of a timeline is not tried in a browser"

OPTIONS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--window-size=1280,900", "--remote-debugging-pipe",
)  # fmt: skip

PATIENCE: Final = 30.0
"""Seconds after which it has not answered."""

Answer = dict[str, Any]  # Any: as JSON has it


class Browser:
    """One process of it. `close()` ends it."""

    def __init__(self) -> None:
        assert PROGRAM is not None, MISSING
        self._profile = tempfile.mkdtemp(prefix="browser-")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (theirs_in, theirs_out)]
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
        self._pid = os.posix_spawn(
            PROGRAM, [PROGRAM, *OPTIONS, f"--user-data-dir={self._profile}"], os.environ,
            file_actions=[*null, (os.POSIX_SPAWN_DUP2, ends[0], 3), (os.POSIX_SPAWN_DUP2, ends[1], 4)],
            setpgroup=0,
        )  # fmt: skip
        for fd in (theirs_in, theirs_out, *ends):
            os.close(fd)
        self._begun = b""
        self._asked = 0
        self.events: list[Answer] = []
        """What it has told without being asked."""

    def close(self) -> None:
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)

    def ask(self, method: str, session: str = "", **given: Any) -> Answer:
        """Ask it to do something, and wait until it is done."""
        self._asked += 1
        asked: Answer = {"id": self._asked, "method": method, "params": given}
        if session:
            asked["sessionId"] = session
        os.write(self._out, json.dumps(asked).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while True:
            told = self._told(until)
            if told.get("id") == self._asked:
                assert "error" not in told, (method, told["error"])
                result: Answer = told["result"]
                return result
            self.events.append(told)

    def wait(self, method: str) -> Answer:
        """Until it tells something of that name, which is then forgotten."""
        until = time.monotonic() + PATIENCE
        while True:
            for event in self.events:
                if event["method"] == method:
                    self.events.remove(event)
                    return event
            self.events.append(self._told(until))

    def _told(self, until: float) -> Answer:
        while b"\0" not in self._begun:
            ready, _, _ = select.select([self._in], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"the browser has told nothing for {PATIENCE:g} s"
            data = os.read(self._in, 1 << 20)
            assert data, "the browser has ended"
            self._begun += data
        told, _, self._begun = self._begun.partition(b"\0")
        answer: Answer = json.loads(told)
        return answer


class Page:
    """A tab."""

    def __init__(self, browser: Browser) -> None:
        self._browser: Final = browser
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session: Final = str(browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **given: Any) -> Answer:
        return self._browser.ask(method, self._session, **given)

    def open(self, path: Path, *, scripts: bool = True) -> Page:
        """A file, until it is loaded."""
        self._browser.events.clear()
        self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.ask("Page.navigate", url=path.as_uri())
        self._browser.wait("Page.loadEventFired")
        return self

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript."""
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def looks(self, media: str = "", *, dark: bool = False) -> None:
        """How it is shown: on paper ("print"), in the dark."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=features)

    def press(self, *keys: str) -> None:
        """Keys, one after the other."""
        for key in keys:
            text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
            code = {"Tab": 9, "Enter": 13}.get(key, ord(key.upper()) if key.isalnum() and len(key) == 1 else 0)
            self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
            self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def told(self, method: str) -> list[Answer]:
        """What it has told under that name since the page was opened."""
        self.run("0")  # what it has to tell is told before that
        return [event["params"] for event in self._browser.events if event["method"] == method]

    def traced(self, categories: Sequence[str], method: str, **given: Any) -> list[Answer]:
        """What its own trace has of something that it is asked to do."""
        self._browser.ask("Tracing.start", traceConfig={"includedCategories": [*categories]})
        self.ask(method, **given)
        self._browser.ask("Tracing.end")
        self._browser.wait("Tracing.tracingComplete")
        parts = [event for event in self._browser.events if event["method"] == "Tracing.dataCollected"]
        return [one for part in parts for one in part["params"]["value"]]

    def picture(self, path: Path) -> None:
        """What it looks like."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=False)["data"]))

    def accessible(self) -> list[Answer]:
        """What a screen reader is told: role, name and the like of each node."""
        nodes: list[Answer] = self.ask("Accessibility.getFullAXTree")["nodes"]
        return [node for node in nodes if not node["ignored"]]
