"""Processes that write to a study and are made to be killed: ``python drivers.py`` forks one for each line it reads.

It imports once and has one thread, so that a driver costs milliseconds. A line is a JSON object: ``command``, ``url``,
``study``, and ``out``, the file where the driver says what it has done, after it has done it.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tunebook.errors import StudyBusy, TunebookError
from tunebook.stores.sql import SqlStore
from tunebook.trial import Event, Looked, Measured, Measurement


def batch(number: int) -> list[Event]:
    """The events of the batch with this number: 1 to 7 of them."""
    return [
        Measured(number, 1, Measurement(s + 1, {"loss": number / 3, "x" * 50: float(s)})) for s in range(size(number))
    ]


def size(number: int) -> int:
    return 1 + number * 5 % 7


class Driver:
    def __init__(self, about: dict[str, Any]) -> None:
        self.store = SqlStore(about["url"], about["study"], patience=about.get("patience", 30.0))
        self.out = os.open(about["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.until = about.get("until")

    def say(self, text: str) -> None:
        os.write(self.out, f"{text}\n".encode())

    def go_on(self) -> bool:
        return self.until is None or not Path(self.until).exists()

    def hold(self) -> None:
        with self.store.claim("the holder"):
            self.say("held")
            while self.go_on():
                time.sleep(0.01)
        self.say("free")

    def write(self) -> None:
        """Go on where the log ends, until it is killed; say the length that each append returned."""
        with self.store.claim():
            number = sum(1 for e in self.store.read() if isinstance(e, Measured) and e.measurement.step == 1)
            self.say("held")
            while self.go_on():
                self.say(str(self.store.append(batch(number))))
                number += 1
        self.say("free")

    def start(self) -> None:
        """Wait for the others, then make the study and write one event, as soon as nobody else does."""
        while self.go_on():
            time.sleep(0.001)
        while True:
            try:
                self.store.append([Looked(str(os.getpid()))])
                break
            except StudyBusy:
                time.sleep(0.02)
        self.say("done")


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        about = json.loads(line)
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            continue
        driver = Driver(about)
        try:
            getattr(driver, about["command"])()
        except TunebookError as error:
            driver.say(f"{type(error).__name__}: {error}")
        except BaseException as error:  # noqa: BLE001  (the test reads what it was)
            driver.say(f"raw {type(error).__name__}: {error}")
        os._exit(0)


if __name__ == "__main__":
    main()
