"""Alerts that Kafka deleted before they were read, by offsets."""

from __future__ import annotations

from aiokafka.structs import TopicPartition

from connect.notify.expired_records import ExpiredRecords, ExpiredUnread

ALERTS = TopicPartition("sla.alerts", 0)


def test_what_was_deleted_between_what_was_committed_and_what_is_left_is_found_once() -> None:
    expired = ExpiredRecords()
    expired.resumed({ALERTS: 10})
    assert expired.found({ALERTS: 40}) == [ExpiredUnread(ALERTS, 10, 40)]
    assert expired.found({ALERTS: 40}) == []
    expired.read(ALERTS, 40, 49)
    assert expired.found({ALERTS: 40}) == []
    assert expired.found({ALERTS: 60}) == [ExpiredUnread(ALERTS, 50, 60)]


def test_what_the_client_passed_over_before_kafka_was_asked_is_found() -> None:
    expired = ExpiredRecords()
    expired.resumed({ALERTS: 10})
    for first in (10, 12, 14, 40, 42):  # a transaction of one alert has two offsets
        expired.read(ALERTS, first, first)
    assert expired.found({ALERTS: 40}) == [ExpiredUnread(ALERTS, 15, 40)]
    assert expired.found({ALERTS: 40}) == []


def test_what_was_passed_over_is_found_also_where_kafka_has_deleted_more_since() -> None:
    expired = ExpiredRecords()
    expired.resumed({ALERTS: 10})
    expired.read(ALERTS, 40, 79)
    assert expired.found({ALERTS: 60}) == [ExpiredUnread(ALERTS, 10, 40)]


def test_ends_of_transactions_and_what_was_read_are_no_loss() -> None:
    expired = ExpiredRecords()
    expired.resumed({ALERTS: 10})
    expired.read(ALERTS, 10, 18)
    expired.read(ALERTS, 20, 28)
    assert expired.found({ALERTS: 25}) == []
    assert expired.found({ALERTS: 30}) == []  # all is deleted, with the end of the last transaction
    expired.read(ALERTS, 30, 30)
    expired.read(ALERTS, 0, 5)  # of a topic that was made anew
    assert expired.found({ALERTS: 0}) == []


def test_partitions_that_another_member_has_read_meanwhile_are_no_loss() -> None:
    expired = ExpiredRecords()
    expired.resumed({ALERTS: 10})
    expired.resumed({})
    assert expired.found({ALERTS: 40}) == []
    expired.resumed({ALERTS: 50})
    expired.read(ALERTS, 50, 51)
    assert expired.found({ALERTS: 45}) == []
