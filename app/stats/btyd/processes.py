"""Every family's process by its name."""

from collections.abc import Mapping

from app.stats.btyd.bg_nbd import BG_NBD
from app.stats.btyd.families import Family, Process
from app.stats.btyd.mbg_nbd import MBG_NBD
from app.stats.btyd.pareto_nbd import PARETO_NBD

PROCESSES: Mapping[Family, Process] = {"bg_nbd": BG_NBD, "mbg_nbd": MBG_NBD, "pareto_nbd": PARETO_NBD}
