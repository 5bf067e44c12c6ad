"""The API keeps what its OpenAPI document promises: schemathesis looks for a request that shows otherwise."""

from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from service.app import create_app
from tests.installation import Installation, settings_in
from workers.jobs.records import Role

LIVE = ["/v1/jobs/{job_id}/events", "/readyz"]  # the first never ends while a job waits, the second has no worker here
# It takes every refusal that a schema cannot express for a fault: checksums, quotas, rules between two knobs.
EXCLUDED = [positive_data_acceptance]

# Its coverage phase sends thousands of requests: `schemathesis run URL/openapi.json` does.
CONFIG = schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": False}}})

openapi = create_app(settings_in(Path("/nowhere"))).openapi()
document = schemathesis.openapi.from_dict(openapi, config=CONFIG).exclude(path=LIVE)


@document.parametrize()
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_request_finds_a_fault(case: Any, service: Installation) -> None:
    headers = {"Authorization": f"Bearer {service.keys[Role.ADMIN]}"}
    case.call_and_validate(base_url=service.url, headers=headers, excluded_checks=EXCLUDED)
