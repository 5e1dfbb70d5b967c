"""Fills a running service with the simulated shop, through its API; doing it again changes nothing."""

from typing import Any

from app.cli.demo.client import AlreadyThere, Api
from app.cli.demo.progress import step
from app.cli.demo.shop import Shop
from app.cli.demo.wire import Shipment, shipments
from app.cli.failures import CommandFailed

BATCH = 10_000
SEGMENTATION = {"name": "RFM (demo)", "method": "rfm"}
PAGE = "limit=1000"


def fill(api: Api, shop: Shop) -> dict[str, int]:
    """Push every row of the shop. Returns how many rows there are of each kind."""
    sent = shipments(shop)
    for shipment in sent:
        push(api, shipment)
    return {shipment.name: shipment.size for shipment in sent}


def push(api: Api, shipment: Shipment) -> None:
    """Push the rows of one kind in batches. Raises CommandFailed when the service refuses one of them."""
    with step(shipment.name.replace("rates", "exchange rates"), shipment.size) as advance:
        for rows, body in shipment.bodies(BATCH):
            answer = api.call(shipment.method, shipment.path, body=body)
            if refused := answer["rejected"]:
                first = refused[0]
                raise CommandFailed(
                    f"{len(refused)} of {rows} {shipment.name} were refused; the first: {first['detail']} "
                    f"({first['code']} at {first['pointer']})",
                    remedy="start the demo in a home of its own: TESSERA_HOME=.tessera-demo tessera demo",
                )
            advance(rows)


def segment(api: Api) -> dict[str, Any]:
    """The RFM segmentation of the demo, made and activated where that has not been done yet."""
    found = find_segmentation(api)
    if found is None:
        with step("RFM segmentation trained"):
            found = train(api)
    path = f"/v1/segmentations/{found['segmentation_id']}"
    if found["status"] == "candidate":
        with step("every buyer assigned to a segment"):
            api.finished(api.call("POST", f"{path}/activate")["id"])
    segmentation: dict[str, Any] = api.get(path)
    return segmentation


def train(api: Api) -> dict[str, Any]:
    """The trained segmentation. A start that was interrupted may have asked for it already."""
    try:
        api.finished(api.call("POST", "/v1/segmentations", body=SEGMENTATION)["id"])
    except AlreadyThere:
        return api.eventually(lambda: find_segmentation(api), what="the segmentation asked for before")
    found = find_segmentation(api)
    assert found is not None, "a segmentation is listed once its training has ended"
    return found


def find_segmentation(api: Api) -> dict[str, Any] | None:
    """The demo's segmentation by its name; None when there is none."""
    cursor = ""
    while True:
        page = api.get(f"/v1/segmentations?{PAGE}{cursor}")
        for each in page["data"]:
            if each["name"] == SEGMENTATION["name"]:
                return dict(each)
        if page["next_cursor"] is None:
            return None
        cursor = f"&cursor={page['next_cursor']}"
