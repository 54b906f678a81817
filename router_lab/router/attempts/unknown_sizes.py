"""Images whose size cannot be read: what they cost is not known, and that is said."""

from __future__ import annotations

from router_lab.records import Image
from router_lab.router.alerts import Alerts
from router_lab.router.estimators.images import IMAGE_BOUND, image_size


class UnknownSizes:
    """Says of each model and kind of image once that its size is not known."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self._told: set[tuple[str, str]] = set()

    def check(self, alias: str, image: Image) -> None:
        """Alert if nobody can tell how many tokens the image is."""
        kind = (alias, image.media_type)
        if kind in self._told or image_size(image) is not None:
            return
        self._told.add(kind)
        self._alerts.send(
            "image_size_unknown",
            alias,
            f"{alias}: the size of an image of type {image.media_type[:40]} cannot be read, so its tokens "
            f"are not known: budgets hold {IMAGE_BOUND:,} for it; send it as PNG, JPEG, GIF or WebP",
            media_type=image.media_type[:40],
        )
