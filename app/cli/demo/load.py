"""Fills a running service with the simulated shop, through its API; doing it again changes nothing."""

from collections.abc import Mapping
from typing import Any

from app.cli.demo.client import AlreadyThere, Api
from app.cli.demo.progress import step
from app.cli.demo.shop import Shop
from app.cli.demo.wire import Shipment, shipments
from app.cli.failures import CommandFailed

BATCH = 10_000
RFM = {"name": "RFM (demo)", "method": "rfm"}
# At least three: two segments of shoppers are mostly the good ones and the others.
FOUND = {
    "name": "Behaviour (demo)",
    "method": "kmeans",
    "features": ["days_since_last_purchase", "purchase_count", "total_spend"],
    "k_range": [3, 6],
}
SEGMENTATIONS = ((RFM, "RFM segmentation trained"), (FOUND, "segments found by k-means"))
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


def segment(api: Api) -> list[dict[str, Any]]:
    """The segmentations of the demo, each made and activated where that has not been done yet."""
    return [ready(api, asked, what) for asked, what in SEGMENTATIONS]


def ready(api: Api, asked: Mapping[str, Any], what: str) -> dict[str, Any]:
    found = find_segmentation(api, asked["name"])
    if found is None:
        with step(what):
            found = train(api, asked)
    path = f"/v1/segmentations/{found['segmentation_id']}"
    if found["status"] == "candidate":
        with step("everybody assigned to its segments"):
            api.finished(api.call("POST", f"{path}/activate")["id"])
    segmentation: dict[str, Any] = api.get(path)
    return segmentation


def train(api: Api, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The trained segmentation. A start that was interrupted may have asked for it already."""
    name = asked["name"]
    try:
        api.finished(api.call("POST", "/v1/segmentations", body=dict(asked))["id"])
    except AlreadyThere:
        return api.eventually(lambda: find_segmentation(api, name), what="the segmentation asked for before")
    found = find_segmentation(api, name)
    assert found is not None, "a segmentation is listed once its training has ended"
    return found


def find_segmentation(api: Api, name: str) -> dict[str, Any] | None:
    """A segmentation by its name; None when there is none."""
    cursor = ""
    while True:
        page = api.get(f"/v1/segmentations?{PAGE}{cursor}")
        for each in page["data"]:
            if each["name"] == name:
                return dict(each)
        if page["next_cursor"] is None:
            return None
        cursor = f"&cursor={page['next_cursor']}"
