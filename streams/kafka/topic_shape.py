"""Whether the topics of a process are there and have a shape that loses nothing; looked at every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import structlog

from streams.errors import SlaError
from streams.kafka.causes import explained_error
from streams.kafka.topic_descriptions import KafkaPythonError, TopicDescription, TopicDescriptions, leaders_problem
from streams.log_damper import CrashLog

_EVERY_S = 5.0
_REQUEST_MS = 5_000


class TopicShape:
    """What was found at the last `look`. `events` are topics whose records must all be kept, `states` those whose
    newest record of each key is the state; all have one number of partitions."""

    def __init__(
        self,
        brokers: Collection[str],
        security: Mapping[str, object],
        prefix: str,
        *,
        events: Iterable[str],
        states: Iterable[str] = (),
        made_anew: Callable[[str, bytes], None] = lambda *_: None,
        unchanged: Callable[[], None] = lambda: None,
        leaders: bool = False,
    ) -> None:
        """`made_anew` is called with the name of a topic that has another id than before, and that id;
        `unchanged` at each look at which all have the ids of before. With `leaders` a partition that no broker leads
        is a problem too."""
        self._leaders = leaders
        self._leaderless: frozenset[str] = frozenset()
        """Partitions at the last look; a change of leaders is over before the next one."""
        self.problem: str | None = None
        """Why the process is not ready; None while all is well, and before the first answer."""
        self.answered = True
        """Whether Kafka answered at the last look; where it did not, that is the problem."""
        self._brokers = ",".join(brokers)
        self._prefix = prefix
        self._events = [f"{prefix}.{each}" for each in events]
        self._states = [f"{prefix}.{each}" for each in states]
        self._made_anew = made_anew
        self._unchanged = unchanged
        self._ids: dict[str, bytes] = {}
        self._descriptions = TopicDescriptions(brokers, security, _REQUEST_MS)
        self._logger = structlog.get_logger(__name__)
        self._crashes = CrashLog(self._logger, "topics_look_crashed")

    def expect_states(self, states: Iterable[str]) -> None:
        """From the next look on, these are the topics of states."""
        self._states = [f"{self._prefix}.{each}" for each in states]

    async def run(self) -> None:
        """Look again and again until cancelled."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(_EVERY_S)
        finally:
            await self._descriptions.close()

    async def topic_id(self, name: str) -> bytes:
        """The id that a topic has at this moment; empty where the broker tells none. Raises SlaError where
        there is no answer, or no such topic."""
        found = await self.topic_ids([name])
        if name not in found:
            raise SlaError(f"there is no topic {name}")
        return found[name]

    async def topic_ids(self, names: Iterable[str]) -> Mapping[str, bytes]:
        """The ids of those topics that exist at this moment; empty where the broker tells none. Raises SlaError where
        there is no answer."""
        try:
            found = await self._descriptions.describe(names)
        except (KafkaPythonError, OSError, RuntimeError) as error:
            raise SlaError(explained_error(error, self._brokers)) from error
        return {name: each.topic_id for name, each in found.items()}

    async def look(self) -> None:
        """Ask Kafka, and set `problem`."""
        try:
            names = [*self._events, *self._states]
            found = await self._descriptions.describe(names, names)
            if names != [*self._events, *self._states]:  # others are expected meanwhile
                return
            self.answered = True
            self._compare_ids(found)
            problem = self._problem(found)
        except (KafkaPythonError, OSError, RuntimeError) as error:  # RuntimeError: its connection was closed
            problem, self.answered = explained_error(error, self._brokers), False
            self._leaderless = frozenset()  # the next look may be much later
        except Exception as error:  # a defect: nobody would look any more
            self._crashes.caught(error, consequence="it is tried again")
            problem, self.answered = f"internal error: {error!r}", True
        if problem != self.problem:
            if problem is None:
                self._logger.info("topics_usable")
            else:
                self._logger.warning("topics_unusable", reason=problem)
        self.problem = problem

    def _compare_ids(self, found: Mapping[str, TopicDescription]) -> None:
        same = len(found) == len(self._events) + len(self._states)
        for name, each in found.items():
            if any(each.topic_id) and self._ids.setdefault(name, each.topic_id) != each.topic_id:
                same = False
                self._ids[name] = each.topic_id
                self._logger.warning("topic_made_anew", topic=name)
                self._made_anew(name, each.topic_id)
        if same:
            self._unchanged()

    def _problem(self, found: Mapping[str, TopicDescription]) -> str | None:
        names = [*self._events, *self._states]
        leaderless = frozenset(f"{name}-{each}" for name in found for each in found[name].leaderless)
        lasting, self._leaderless = leaderless & self._leaderless, leaderless
        if missing := [name for name in names if name not in found]:
            if denied := sorted(self._descriptions.denied.intersection(missing)):
                return denied_topics(denied)
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            return (
                f"there is no topic {missing[0]}{more}: create the topics with `sla topics apply`, or correct "
                f"SLA_TOPIC_PREFIX, which is {self._prefix}"
            )
        other = next((name for name in names if found[name].partitions != found[names[0]].partitions), None)
        if other is not None:
            return (
                f"{names[0]} has {found[names[0]].partitions} partitions, {other} has {found[other].partitions}: all "
                "topics of a deployment must have one number of partitions"
            )
        wrong = cleanup_problem(found, self._events, self._states)
        if wrong is not None:
            return wrong[1]
        return leaders_problem(lasting) if lasting and self._leaders else None


def denied_topics(names: Sequence[str]) -> str:
    """Why a process that may not see topics is not ready."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (
        f"this user may not see the topic {names[0]}{more}: an administrator of Kafka has to allow what `sla topics "
        "acls` lists"
    )


def cleanup_problem(
    found: Mapping[str, TopicDescription], events: Iterable[str], states: Iterable[str]
) -> tuple[str, str] | None:
    """A topic whose cleanup policy loses records, and the reason as a sentence. A policy that this user may not see is
    not checked."""
    for topics, lost, wanted in ((states, "state", "compact"), (events, "events", "delete")):
        for topic in topics:
            policies = set(filter(None, found[topic].cleanup.split(",")))
            if policies and (policies != {"compact"} if wanted == "compact" else "compact" in policies):
                return topic, (
                    f"{topic} has cleanup.policy {found[topic].cleanup}, which loses {lost}; it must be {wanted}: "
                    "`sla topics apply` sets it"
                )
    return None


def timestamps_problem(found: Mapping[str, TopicDescription], topics: Iterable[str]) -> tuple[str, str] | None:
    """A topic whose arrivals are not the broker's, and the reason as a sentence. A setting that this user may not see
    is not checked."""
    for topic in topics:
        if (timestamps := found[topic].timestamps) not in {"", "LogAppendTime"}:
            return topic, (
                f"{topic} has message.timestamp.type {timestamps}: arrivals are what senders write; it must be "
                "LogAppendTime: `sla topics apply` sets it"
            )
    return None
