"""Webhooks: what is sent, the log of deliveries, and the secret that signs them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from hunyuan_runner.api.backend import FromBackend
from hunyuan_runner.api.document import refusals
from hunyuan_runner.api.requests import JOB_ID_PATTERN, JobId
from hunyuan_runner.api.views import job_view, without_query
from hunyuan_runner.jobs.deliveries import Delivery, DeliveryState
from hunyuan_runner.jobs.job import Job
from hunyuan_runner.params import WebhookEvent
from hunyuan_runner.wire import JobView

DeliveryId = Annotated[
    str,
    Path(
        pattern=JOB_ID_PATTERN,
        description="The `id` of a delivery, which is its `webhook-id` header.",
    ),
]


class Notice(BaseModel):
    """The body of a webhook's POST. Every attempt has the same `webhook-id` header. The header
    `webhook-signature` is made with the secret from /api/webhooks/secret."""

    type: Literal["job.started", "job.completed", "job.failed", "job.canceled"]
    timestamp: datetime = Field(description="When the event happened.")
    data: JobView = Field(description="The job at that time.")

    @classmethod
    def of(cls, delivery: Delivery, job: Job, base: str) -> Self:
        return cls(
            type=f"job.{delivery.event}", timestamp=delivery.created_at, data=job_view(job, base)
        )


class DeliveryView(BaseModel):
    """The delivery of one event to the webhook."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(description="The `webhook-id` header of every attempt.")
    event: WebhookEvent
    state: DeliveryState
    attempts: int
    last_status: int | None = Field(description="The HTTP status that answered the last attempt.")
    last_error: str | None = Field(description="Why the last attempt got no answer.")
    created_at: datetime
    next_attempt_at: datetime | None = Field(description="null once it is delivered or given up.")
    last_attempt_at: datetime | None


class WebhookLog(BaseModel):
    """A job's webhook, and all its deliveries."""

    webhook_url: str | None = Field(description="Without its query, which may contain a token.")
    webhook_events: list[WebhookEvent]
    deliveries: list[DeliveryView] = Field(description="The oldest first.")


class Secret(BaseModel):
    secret: str = Field(description="The `whsec_…` secret, for any Standard Webhooks library.")


router = APIRouter(tags=["webhooks"])
sent = APIRouter()


@sent.post("job", operation_id="webhook")
def webhook(notice: Notice) -> None:
    """Sent to a job's `webhook_url`. Any 2xx confirms it; 410 ends it; all else is retried."""


def render(delivery: Delivery, job: Job, public_url: str | None) -> str:
    """The body of a delivery. Its links begin with the service's public URL if it is known."""
    base = public_url or (job.webhook.base if job.webhook else "")
    return Notice.of(delivery, job, base).model_dump_json()


@router.get(
    "/api/jobs/{job_id}/webhooks", operation_id="get_webhooks", responses=refusals(404, 503)
)
def get_webhooks(job_id: JobId, backend: FromBackend) -> WebhookLog:
    """List the deliveries to a job's webhook, and how it answered them."""
    webhook = backend.jobs.get(job_id).webhook
    deliveries = backend.jobs.outbox.of_job(job_id)
    return WebhookLog(
        webhook_url=without_query(webhook.url) if webhook else None,
        webhook_events=list(webhook.events) if webhook else [],
        deliveries=[DeliveryView.model_validate(delivery) for delivery in deliveries],
    )


@router.post(
    "/api/jobs/{job_id}/webhooks/{delivery_id}/resend",
    operation_id="resend_webhook",
    status_code=202,
    responses=refusals(404, 503),
)
def resend_webhook(job_id: JobId, delivery_id: DeliveryId, backend: FromBackend) -> DeliveryView:
    """Send a delivery again now, even if it was delivered or given up."""
    job = backend.jobs.get(job_id)
    return DeliveryView.model_validate(backend.jobs.outbox.resend(job.id, delivery_id))


@router.get("/api/webhooks/secret", operation_id="get_webhook_secret", responses=refusals(503))
def get_webhook_secret(request: Request, response: Response, backend: FromBackend) -> Secret:
    """Get the secret that signs the webhooks of your jobs. Each user has their own."""
    response.headers["Cache-Control"] = "no-store"
    owner = request.scope["caller"].name
    return Secret(secret=backend.jobs.signing_secret(owner))
