"""What is asked of attribution: models, touchpoints, outcomes, and the bounds of each, said once."""

from dataclasses import dataclass
from typing import Literal, get_args

Model = Literal["first", "last", "linear", "position", "time_decay", "markov", "shapley"]
Outcome = Literal["purchase", "conversion"]
By = Literal["channel", "campaign"]
MODELS: tuple[Model, ...] = get_args(Model)

# Every event with a channel is a touchpoint, but these: results, opinions, and what nobody need have seen. A page view
# belongs to its visit and would count that one again.
NO_TOUCHES = ("conversion", "sign_up", "survey", "support", "review", "email_sent", "page_view")
CONVERSIONS = ("conversion", "sign_up")

# Of each journey the last touches; a longer one is cut at its beginning.
TOUCHES_KEPT = 100
MAX_PATHS = 200_000
MAX_CHANNELS = 500
# Campaigns whose holdout is compared with the model, the newest first.
JUDGED = 10
LOOK_BACK_DAYS, MAX_LOOK_BACK_DAYS = 30, 365
MIN_HALF_LIFE_DAYS, HALF_LIFE_DAYS, MAX_HALF_LIFE_DAYS = 0.1, 7.0, 365.0
MAX_ORDER = 5
DEFAULT_WINDOW_DAYS = 90
# Credited outcomes are shown in parts of this size, which add up to the whole.
PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Meaning:
    """A model in one sentence, for answers' readers."""

    model: Model
    meaning: str


MEANINGS = (
    Meaning("first", "All credit to the first touch of a journey."),
    Meaning("last", "All credit to the last touch."),
    Meaning("linear", "The same to every touch."),
    Meaning("position", "40 % to the first touch, 40 % to the last, 20 % shared by those between; of two, half each."),
    Meaning("time_decay", "Half as much to a touch that is half_life_days older; ages in whole days."),
    Meaning("markov", "In proportion to what would be lost without the channel, by a Markov chain of the given order."),
    Meaning("shapley", "The Shapley value of the channels in a game that the answer names."),
)
