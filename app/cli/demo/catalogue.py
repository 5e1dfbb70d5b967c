"""What the simulated shop sells, to whom, and on which terms: every constant of its world."""

import numpy as np

from app.cli.demo.draws import Integers

SOURCE = "demo"
CURRENCIES = ("EUR", "GBP")
EUR, GBP = 0, 1

COUNTRIES = ("DE", "GB", "FR", "AT", "NL", "IE")
COUNTRY_WEIGHTS = (0.40, 0.18, 0.16, 0.10, 0.09, 0.07)
AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
AGE_WEIGHTS = (0.11, 0.24, 0.25, 0.19, 0.13, 0.08)
# Leanings of an attribute towards a latent quantity: older customers spend more, the referred buy more often.
AGE_TILTS = (-1.2, -0.5, 0.1, 0.5, 0.6, 0.2)
ACQUISITION_CHANNELS = ("search", "social", "referral", "email", "display", "store")
ACQUISITION_WEIGHTS = (0.34, 0.24, 0.14, 0.10, 0.08, 0.10)
ACQUISITION_TILTS = (0.0, -0.8, 1.2, 0.6, -1.0, 0.4)

# Channels of purchases and touchpoints in one list: an event and a purchase name a channel alike.
CHANNELS = ("web", "app", "store", "email", "search", "social", "display", "direct")
WEB, APP, STORE, EMAIL, SEARCH, SOCIAL, DISPLAY, DIRECT = range(len(CHANNELS))
SALES_CHANNELS = (WEB, APP, STORE)
SALES_CHANNEL_WEIGHTS = (0.60, 0.22, 0.18)

# A ladder of price points per currency, in minor units; each category has one product at each of them.
CATEGORIES = ("coffee", "kitchen", "garden", "books", "toys")
CATEGORY_WEIGHTS = (0.30, 0.25, 0.15, 0.18, 0.12)
CATEGORY_MARGIN_RATES = (0.48, 0.40, 0.36, 0.30, 0.45)
PRICES_EUR = (190, 350, 490, 690, 990, 1_490, 1_990, 2_490, 3_490, 4_990, 6_990, 9_990, 14_900, 22_900)
PRICES_GBP = (160, 290, 420, 590, 850, 1_290, 1_690, 2_090, 2_950, 4_250, 5_950, 8_490, 12_700, 19_500)
# What a basket worth one euro is worth in the pound price list.
LIST_RATIOS = (1.0, 0.85)

# BG/NBD (Fader, Hardie, Lee 2005): rate per week ~ Gamma(r, alpha), drop-out after a repeat purchase ~ Beta(a, b).
BUYING_R, BUYING_ALPHA = 1.1, 8.0
DROPOUT_A, DROPOUT_B = 0.8, 3.2
# Gamma-Gamma (Fader, Hardie 2005): amount ~ Gamma(p, nu), nu ~ Gamma(q, gamma); mean p gamma / (q - 1) = 60 euros.
SPEND_P, SPEND_Q, SPEND_GAMMA = 4.0, 6.0, 75.0

NEVER_BUYS_SHARE = 0.08
GUEST_SHARE = 0.11
MARKETING_CONSENT_SHARE = 0.72
PROFILING_CONSENT_SHARE = 0.94

REFUND_RATE = 0.05
FULL_REFUND_SHARE = 0.75
PARTIAL_REFUND = 0.5
LONGEST_REFUND_DAYS = 45
_REFUND_DAILY = 1 / 9
# Chance that a refunded purchase comes back 1, 2, ... days after the day of purchase.
REFUND_DELAY = (1 - _REFUND_DAILY) ** np.arange(LONGEST_REFUND_DAYS)
REFUND_DELAY = REFUND_DELAY / REFUND_DELAY.sum()
MEAN_REFUND_SHARE = FULL_REFUND_SHARE + (1 - FULL_REFUND_SHARE) * PARTIAL_REFUND

PRODUCTS = tuple(f"demo-{category}-{step + 1:02d}" for category in CATEGORIES for step in range(len(PRICES_EUR)))


def prices(currency: int) -> Integers:
    """The ladder of a currency, ascending, in minor units."""
    return np.array((PRICES_EUR, PRICES_GBP)[currency], np.int64)
