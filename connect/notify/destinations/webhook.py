"""Standard Webhooks (standardwebhooks.com): signed requests for machines. Pure but for secrets."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, Field
from standardwebhooks import Webhook

from connect.notify.destinations.answers import Outcome, Undeliverable, describe_status, judge_status
from connect.notify.destinations.kind import Destination, DestinationKind, KindConfig, PreparedRequest, Secrets
from connect.notify.destinations.phrases import title
from connect.notify.destinations.secrets import read_signing_secrets, read_url_secret
from connect.notify.destinations.text import HEADERS
from connect.notify.message import Message
from connect.notify.triggers import LATE_EVIDENCE, RECLASSIFIED, RETRACTED, JsonObject
from connect.secret_refs import SecretKeys
from streams.serde.cloudevents_headers import INCIDENT_ENDED
from streams.serde.cloudevents_json import format_line
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND, to_datetime

#: The schedule of the standard: waits between one attempt and the next; the first attempt is at once.
RETRY_SCHEDULE = (
    *(5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR),
    *(10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR),
)


class WebhookKeys(BaseModel):
    """The keys of kind webhook."""

    url: SecretKeys | None = Field(None, description="Address to post to, a secret (slack, webhook).")
    secrets: list[SecretKeys] | None = Field(
        None, description="Signing keys, the newest first (webhook).", min_length=1
    )


def configure(keys: WebhookKeys) -> KindConfig:
    """What the checked keys mean."""
    assert keys.url is not None
    return KindConfig(keys.url.ref(), tuple(each.ref() for each in keys.secrets or ()))


def read_secrets(destination: Destination, environment: Mapping[str, str]) -> Secrets:
    """The address and the signing keys."""
    return Secrets(read_url_secret(destination, environment), read_signing_secrets(destination, environment))


def prepare(destination: Destination, secrets: Secrets, incident: str, message: Message, now: int) -> PreparedRequest:
    """The request for a message, signed with every key."""
    content = format_line(body_of(destination, incident, message))
    moment, name = to_datetime(now), webhook_id(message)
    signatures = " ".join(Webhook(key).sign(name, moment, content) for key in secrets.signing)
    signed = {
        "webhook-id": name,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signatures,
    }
    return PreparedRequest(secrets.main, HEADERS | signed, content.encode())


def webhook_id(message: Message) -> str:
    """The same on every attempt: the id of the event. A breach that late evidence takes back may be brought back by
    later evidence, and taken back again, each with the same event id (R3); so the id names the record too where that
    is possible, for consumers ignore an id that they know."""
    name, data = str(message.event["id"]), message.event["data"]
    again = message.event["type"] == RETRACTED or data.get("cause") in (LATE_EVIDENCE, RECLASSIFIED)
    return f"{name}-{message.record_at}" if again else name


def body_of(destination: Destination, incident: str, message: Message) -> JsonObject:
    """The body; the same on every attempt."""
    event = message.event
    key = {"dedup_key": message.dedup_key(incident)} if message.clock else {}
    text = title(event, destination.language_of(message))
    ended = {"incident_ended_at": event[INCIDENT_ENDED]} if message.late else {}
    added = {"event_id": event["id"], "action": message.action, **key, "text": text, **ended}
    return {"type": event["type"], "timestamp": event["time"], "data": {**event["data"], **added}}


def judge(status: int, retry_after: str | None, answer: str, now: int) -> Outcome:
    """410 means that the consumer is gone permanently."""
    if status == 410:
        return Undeliverable(describe_status(status, answer), gone=True)
    return judge_status(status, retry_after, answer, now)


WEBHOOK = DestinationKind(
    name="webhook",
    keys=WebhookKeys,
    required_keys=("url", "secrets"),
    configure=configure,
    read_secrets=read_secrets,
    prepare=prepare,
    judge=judge,
    give_up_after=4 * DAY,  # leaves room for the whole schedule
    retry_schedule=RETRY_SCHEDULE,
    concurrency=8,
    latest_only=False,
    continues_traces=True,
)
