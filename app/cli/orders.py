"""What a parent process tells the web and worker processes below it, and what both sides rely on."""

from typing import TypedDict

# How long requests and jobs under way may take to end once they are asked to.
GRACE_SECONDS = 10
READY = b"ready\n"


class Orders(TypedDict):
    """What the parent decided: where the data lies, and what signs."""

    database_url: str
    secret: str
