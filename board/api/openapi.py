"""The OpenAPI document, generated from the types of the endpoints."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from board.api.problems import ProblemDetails

API_PREFIX = "/api/v1"


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The document of an application, made once. Pages are not part of it."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own; errors are problem details here
            schemas.pop(name, None)
        details = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= details.pop("$defs")
        schemas["ProblemDetails"] = details
        for operations in document["paths"].values():
            for method, operation in operations.items():
                if method != "get":
                    continue
                operation["responses"].pop("422", None)
                operation["responses"]["304"] = {"description": "The content still has the ETag of If-None-Match."}
        app.openapi_schema = document
    return app.openapi_schema


_DESCRIPTION = """\
The read model of the SLA product: incidents, timelines, months, statements, rejected input.

Instants are RFC 3339 in UTC, money is in minor units of its currency. Every answer has an ETag; with `If-None-Match`
it is 304 while it is current. A parameter that an address does not have is an error, as is a wrong value; errors are
problem details (RFC 9457) that say what is allowed.
"""
