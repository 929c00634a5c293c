"""Subscribers: order, unsubscribing, and changes while the callbacks are called."""

from __future__ import annotations

from playground.tasks import Subscribers


def test_call_callbacks_are_called_in_the_order_of_subscription() -> None:
    event: Subscribers[[str]] = Subscribers()
    seen: list[str] = []
    event.subscribe(lambda text: seen.append(f"first {text}"))
    event.subscribe(lambda text: seen.append(f"second {text}"))
    event("x")
    assert seen == ["first x", "second x"]


def test_unsubscribe_same_callback_twice_removes_one_subscription_each() -> None:
    event: Subscribers[[int]] = Subscribers()
    seen: list[int] = []
    remove_first, remove_second = event.subscribe(seen.append), event.subscribe(seen.append)
    remove_first()
    remove_first()
    event(1)
    remove_second()
    event(2)
    assert seen == [1]


def test_call_callback_that_unsubscribes_itself_does_not_hide_the_next() -> None:
    event: Subscribers[[]] = Subscribers()
    seen: list[str] = []

    def once() -> None:
        seen.append("once")
        remove()

    remove = event.subscribe(once)
    event.subscribe(lambda: seen.append("always"))
    event()
    event()
    assert seen == ["once", "always", "always"]
