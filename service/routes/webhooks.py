"""Webhooks: tell a URL of ended jobs. Signed as Standard Webhooks has it; see `service/webhooks/delivery.py`."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from service.access.authentication import Admin, StoreDep
from service.http.dependencies import Cursor, Limit
from service.http.schemas import DeliveryView, PageView, WebhookCreate, WebhookIssued, WebhookView
from service.webhooks.delivery import new_secret
from workers.jobs.records import Delivery

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
WebhookId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
DeliveryId = Annotated[str, Path(pattern=r"^msg_[0-9a-f]{32}$")]


@router.post("", status_code=201)
def create(request: Request, store: StoreDep, principal: Admin, body: WebhookCreate) -> WebhookIssued:
    """Tell a URL; its signing secret is shown this once. Declined for a target that is not on the allow-list."""
    request.app.state.allowed.resolve(body.url)
    webhook = store.webhooks.add(body.url, new_secret(), sorted(set(body.events)), principal.id)
    return WebhookIssued.model_validate(webhook)


@router.get("", response_model=PageView[WebhookView])
def page(store: StoreDep, _: Admin, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """All webhooks, newest first."""
    return store.webhooks.page(cursor, limit)


@router.delete("/{webhook_id}", status_code=204)
def remove(store: StoreDep, _: Admin, webhook_id: WebhookId) -> None:
    """Tell it nothing more."""
    store.webhooks.remove(webhook_id)


@router.post("/{webhook_id}:test", status_code=202, response_model=DeliveryView)
def test(store: StoreDep, _: Admin, webhook_id: WebhookId) -> Delivery:
    """Tell it `ping`."""
    return store.webhooks.queue(webhook_id, "ping", {"type": "ping", "data": {}})


@router.get("/{webhook_id}/deliveries", response_model=PageView[DeliveryView])
def deliveries(store: StoreDep, _: Admin, webhook_id: WebhookId, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """What it was told and what it is to be told, newest first."""
    store.webhooks.get(webhook_id)
    return store.webhooks.deliveries(webhook_id, cursor, limit)


@router.post("/{webhook_id}/deliveries/{delivery_id}:redeliver", status_code=202, response_model=DeliveryView)
def redeliver(store: StoreDep, _: Admin, webhook_id: WebhookId, delivery_id: DeliveryId) -> Delivery:
    """Tell it again."""
    return store.webhooks.redeliver(webhook_id, delivery_id)
