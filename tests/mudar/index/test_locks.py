"""Searches and changes take turns: neither keeps the other out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from mudar.index.locks import ManyReadersOneWriter


class Play:
    """Threads that enter one lock when told to, and note in which order they came in."""

    def __init__(self) -> None:
        self.lock, self.order, self._threads = ManyReadersOneWriter(), list[str](), list[threading.Thread]()

    def enter(self, name: str) -> Callable[[], None]:
        """Start a thread that reads or writes, by its name; returns what lets it leave again."""
        leave = threading.Event()

        def work() -> None:
            with self.lock.read() if name.startswith("read") else self.lock.write():
                self.order.append(name)
                leave.wait(20)

        self._threads.append(threading.Thread(target=work))
        self._threads[-1].start()
        return leave.set

    def until(self, done: Callable[[], bool]) -> None:
        for _ in range(2000):
            if done():
                return
            time.sleep(0.005)
        raise AssertionError(f"came in: {self.order}")

    def end(self) -> None:
        for thread in self._threads:
            thread.join(20)


def test_a_change_goes_before_later_searches_and_those_before_the_next_change() -> None:
    play = Play()
    leave = {"read 1": play.enter("read 1")}
    play.until(lambda: play.order == ["read 1"])
    leave["write 1"] = play.enter("write 1")
    play.until(lambda: play.lock._changes == 1)
    leave |= {name: play.enter(name) for name in ("read 2", "read 3")}
    play.until(lambda: play.lock._waiting == 2)
    leave["write 2"] = play.enter("write 2")
    play.until(lambda: play.lock._changes == 2)
    assert play.order == ["read 1"]
    leave["read 1"]()
    play.until(lambda: len(play.order) == 2)
    changes = {"write 1", "write 2"}  # which of two that both wait is first, nobody promises
    assert play.order[1] in changes
    leave[play.order[1]]()
    play.until(lambda: len(play.order) == 4)
    assert set(play.order[2:]) == {"read 2", "read 3"}
    leave["read 2"]()
    time.sleep(0.05)
    assert len(play.order) == 4  # the other search is still inside
    leave["read 3"]()
    play.until(lambda: set(play.order[4:]) == changes - {play.order[1]})
    leave[play.order[4]]()
    play.end()
    with play.lock.read(), pytest.raises(RuntimeError), play.lock.read():
        raise RuntimeError
    with play.lock.write():
        pass


def test_nobody_is_lost_among_many() -> None:
    lock, held, seen = ManyReadersOneWriter(), [0, 0], list[bool]()

    def change() -> None:
        for _ in range(300):
            with lock.write():
                held[0] += 1
                held[1] += 1

    def look() -> None:
        for _ in range(300):
            with lock.read():
                seen.append(held[0] == held[1])

    threads = [threading.Thread(target=work) for work in (change, look, look, change, look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert held == [600, 600]
    assert len(seen) == 900
    assert all(seen)
