"""Wireless links as functions of time: position, path loss, shadowing, fading, loss, and the rate they allow.

Knows numpy and scipy; knows no simulator, no bandwidth allocation, no learning. Every random value is a
function of (seed, stream name, client, index), so a question gives the same answer whatever was asked before.
"""

from __future__ import annotations

# Another distribution installs a package of the same import name; this tells the two apart.
__wfl_sim__ = True

from channels.bler import BLER as BLER
from channels.erasure import LOSS as LOSS
from channels.fading import FADING as FADING
from channels.linkadaptation import LINK_ADAPTATION as LINK_ADAPTATION
from channels.linkadaptation import Shannon as Shannon
from channels.links import Links as Links
from channels.mobility import MOBILITY as MOBILITY
from channels.mobility import PLACEMENT as PLACEMENT
from channels.options import OptionError as OptionError
from channels.pathloss import PATH_LOSS as PATH_LOSS
from channels.penetration import PENETRATION as PENETRATION
from channels.ratecurve import RateCurve as RateCurve
from channels.shadowing import SHADOWING as SHADOWING
from channels.streams import Stream as Stream
