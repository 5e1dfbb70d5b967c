"""BG/NBD: customers may drop out right after a repeat purchase, never before the first of them."""

from functools import partial

from app.stats.btyd import geometric_future as future
from app.stats.btyd.beta_geometric import log_likelihood
from app.stats.btyd.families import Process

# Fader, Hardie and Lee (2005), Marketing Science 24(2), 275-284.
BG_NBD = Process(
    log_likelihood=partial(log_likelihood, at_zero=False),
    log_odds_gone=partial(future.log_odds_gone, offset=0.0),
    purchases_if_alive=partial(future.purchases_if_alive, offset=0.0),
    discounted_if_alive=partial(future.discounted_if_alive, offset=0.0),
    both_if_alive=partial(future.both_if_alive, offset=0.0),
    silence_if_alive=future.silence_if_alive,
    future_if_alive=partial(future.future_if_alive, offset=0.0),
)
