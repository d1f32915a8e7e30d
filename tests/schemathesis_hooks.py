"""What schemathesis makes up is sent to a service under test, which must not send it on."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def map_body(_context: schemathesis.HookContext, body: Any) -> Any:
    """Any webhook that can be, at a host that cannot."""
    match body:
        case {"webhook_url": str(url)} if url.startswith("http"):
            return body | {"webhook_url": "https://webhook.invalid/"}
    return body
