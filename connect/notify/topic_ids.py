"""Asks Kafka for the ids of topics, which tell a topic that was made anew from the one before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from streams.errors import SlaError

#: Reconnects, a few seconds apart each.
_MOST_UNANSWERED = 5


class TopicIds:
    """Asks Kafka for the ids of topics, for one destination. `ask` raises SlaError where there is no answer; after some
    of those in a row it finds none: alerts are not held up for as long as another client of Kafka fails."""

    def __init__(self, ask: Callable[[Iterable[str]], Awaitable[Mapping[str, bytes]]]) -> None:
        self._ask = ask
        self._unanswered = 0

    async def ask(self, topics: Iterable[str], *, needed: bool) -> Mapping[str, bytes]:
        """By topic, of those with an id. Where they are not `needed`, no answer is as good as none."""
        try:
            found = await self._ask(topics)
        except SlaError:
            self._unanswered += 1
            if needed and self._unanswered <= _MOST_UNANSWERED:
                raise
            return {}
        self._unanswered = 0
        return {name: each for name, each in found.items() if any(each)}
