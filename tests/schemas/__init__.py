"""The shapes that the service publishes: a witness beside client and sandbox, which read the same documents otherwise.

`python -m tests.schemas FOLDER` makes `published.json` again from a folder of OpenAPI documents, and says what differs.
"""

from tests.schemas.published import Endpoint, endpoints, generation_schemas, json_schema

__all__ = ["Endpoint", "endpoints", "generation_schemas", "json_schema"]
