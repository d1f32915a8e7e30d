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


@schemathesis.hook
def filter_body(_context: schemathesis.HookContext, body: Any) -> bool:
    """Not what is left empty, which is as if left out, and so more than the document promises."""
    if not isinstance(body, dict):
        return True
    blank = any(isinstance(value, str) and not value.strip() for value in body.values())
    return not blank and all(body.get(name, "") is not None for name in ("priority", "metadata"))
