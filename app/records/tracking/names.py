"""What a tracking client calls an event, and what it is called here."""

import re
import unicodedata

# Names of Segment's published event lists (e-mail, e-commerce, B2B) for which this service has a word of its own.
# Their e-mail list knows no sending: the delivered message is what opens and clicks are counted against.
WELL_KNOWN = {
    "email_delivered": "email_sent",
    "email_opened": "email_open",
    "email_link_clicked": "email_click",
    "page_viewed": "page_view",
    "screen_viewed": "screen_view",
    "promotion_viewed": "impression",
    "promotion_clicked": "click",
    "product_reviewed": "review",
    "signed_up": "sign_up",
}

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"\w+")


def event_type(name: str) -> str:
    """An event's name in snake_case: "Product Viewed" and "productViewed" are product_viewed.

    Accents go; letters of other scripts are spelled by their code points, so that different names stay different.
    """
    plain = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    if _WORD.fullmatch(plain) and "_" not in plain:
        plain = _HUMP.sub("_", plain)
    spelled = "".join(map(_spelled, plain.casefold()))
    key = re.sub("_+", "_", spelled).strip("_")
    if key[:1].isdigit():
        key = f"event_{key}"
    return WELL_KNOWN.get(key, key)


def _spelled(letter: str) -> str:
    if not letter.isalnum():
        return "_"
    return letter if letter.isascii() else f"_u{ord(letter):x}_"
