"""The statement of a month for the customer, from the credits topic."""

from __future__ import annotations

from board.reports.customer import CustomerStatement, of_revisions, statement_lines
from cli.reports.erased_names import ErasedNames
from cli.support.console import safe
from cli.support.progress import shown
from connect.kafka_io.reader import read_topics
from streams.i18n.catalogues import Language
from streams.schema_registry.schema_source import reading_codec
from streams.serde.cloudevents_json import to_json
from streams.settings import Settings
from streams.sla.credits.submitted import SubmittedStatement, submitted_statement
from streams.sla.events import Rejection
from streams.sla.policy import Policies


def customer_statement(settings: Settings, policies: Policies, tenant: str, month: str) -> CustomerStatement | None:
    """The statement from the credits topic; None when there is none. Raises BrokerProblem."""
    names = ErasedNames(settings.time_limits().pseudonym_key)
    decode = reading_codec(settings.schema_registry()).decode
    revisions: dict[int, SubmittedStatement] = {}
    credits: dict[str, tuple[int, int]] = {}
    topic = f"{settings.topic_prefix}.credits"
    for record in read_topics(
        settings.bootstrap(), [topic], settings.aiokafka_security(), watch=shown("statements read")
    ):
        decoded = decode(record.value, len(record.value or b""))
        if isinstance(decoded, Rejection):
            continue
        event_type, fields = decoded
        if fields["month"] != month or not names.same(str(fields["tenant_id"]), tenant):
            continue
        data = to_json(event_type, fields)["data"]
        assert isinstance(data, dict)
        if event_type == "credit.statement":
            terms = submitted_statement(fields, data)
            revisions[terms.revision] = terms
        elif event_type == "credit.issued":
            credits[str(fields["event_id"])] = (data["statement_revision"], data["amount"]["amount_minor"])
    return of_revisions(revisions, list(credits.values()), policies)


def statement_text(found: CustomerStatement, language: Language) -> str:
    """The statement as plain text; control characters are replaced."""
    return "\n".join(map(safe, statement_lines(found, language))) + "\n"
