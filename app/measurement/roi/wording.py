"""A return in one sentence that claims no more than its interval and its evidence carry."""

from collections.abc import Mapping
from typing import Any

BY = {
    "holdout": "by its holdout",
    "difference_in_differences": "against comparable customers",
    "before_after": "against the days before, seasons included",
    "declared": "as declared, not measured",
}


def summary(found: Mapping[str, Any]) -> str:
    """What was gained, what it cost, and how sure that is."""
    gain, roi, currency = found["gain"], found["roi"], found["currency"]
    kind = "contribution margin" if found["value"] == "margin" else "revenue"
    grade = f"evidence {found['evidence']}, {BY[found['method']]}"
    if gain["value"] is None:
        return f"What was gained is not known ({gain['reason']}); {grade}."
    amount = f"{gain['value']:,.2f} {currency} of {kind}"
    if roi["value"] is None:
        return f"Gained {amount} ({grade}); without a cost there is no return to speak of."
    if gain.get("low") is None:
        return f"Gained {amount}, a return of {_percent(roi['value'])} ({grade}); no interval can be given."
    level = f"{gain['level']:.4g}"
    span = f"{100 * float(level):.4g} % interval {_percent(roi['low'])} to {_percent(roi['high'])}"
    if roi["low"] > 0:
        verdict = "it earned more than it cost"
    elif roi["high"] < 0:
        verdict = "it cost more than it earned"
    else:
        verdict = "whether it earned more than it cost is not settled"
    return f"Gained {amount}, a return of {_percent(roi['value'])} ({span}): {verdict} ({grade})."


def _percent(share: float) -> str:
    return f"{100 * share:,.0f} %"
