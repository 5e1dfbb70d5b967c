"""MBG/NBD: customers may drop out right after any purchase, the first at time 0 included."""

from functools import partial

from app.stats.btyd import geometric_future as future
from app.stats.btyd.beta_geometric import log_likelihood
from app.stats.btyd.families import Process

# Batislam, Denizel and Filiztekin (2007), International Journal of Research in Marketing 24(3), 201-209; the same as
# the CBG/NBD of Hoppe and Wagner (2007), Marketing - Journal of Research and Management 3(2), 75-90.
MBG_NBD = Process(
    log_likelihood=partial(log_likelihood, at_zero=True),
    log_odds_gone=partial(future.log_odds_gone, offset=1.0),
    purchases_if_alive=partial(future.purchases_if_alive, offset=1.0),
    discounted_if_alive=partial(future.discounted_if_alive, offset=1.0),
    both_if_alive=partial(future.both_if_alive, offset=1.0),
    silence_if_alive=future.silence_if_alive,
    future_if_alive=partial(future.future_if_alive, offset=1.0),
)
