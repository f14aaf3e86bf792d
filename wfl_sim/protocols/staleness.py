"""What an old update is worth: weights that fall with its age in versions of the model.

Knows ages only; a protocol multiplies the change of a client with its weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from channels.options import Options
from channels.units import NonNegative


@dataclass(frozen=True)
class Constant(Options):
    """Old updates count as new ones do.

    Formula
    -------
    s(tau) = 1 for every age tau.

    Validity
    --------
    For updates that are all about equally old, or a model that hardly moves while they are under way.

    Source
    ------
    Xie, Koyejo and Gupta 2019 (FedAsync), arXiv:1903.03934.
    """

    kind: Literal["constant"] = "constant"

    def weight(self, versions: int) -> float:
        """What an update of this age counts."""
        return 1.0


@dataclass(frozen=True)
class Polynomial(Options):
    """Old updates count less, by a power of their age.

    Formula
    -------
    With the age tau, the number of versions that the model has moved on since the client fetched it::

        s(tau) = (1 + tau)^(-exponent)

    Validity
    --------
    A new update counts in full. The exponent 0.5 is the 1 / sqrt(1 + tau) that FedBuff was tried with.

    Source
    ------
    Xie, Koyejo and Gupta 2019 (FedAsync), arXiv:1903.03934.

    Options
    -------
    exponent : How fast the weight falls. Larger: old updates count less; 0 counts all alike.
    """

    kind: Literal["polynomial"] = "polynomial"
    exponent: NonNegative = 0.5

    def weight(self, versions: int) -> float:
        """What an update of this age counts."""
        return float((1.0 + versions) ** -self.exponent)


@dataclass(frozen=True)
class Hinge(Options):
    """Updates count in full up to some age, and less from there on.

    Formula
    -------
    With the age tau, the number of versions that the model has moved on since the client fetched it::

        s(tau) = 1                                 for tau <= grace
        s(tau) = 1 / (1 + slope (tau - grace))     above

    Validity
    --------
    For ages that are small as a rule, of which only the outliers are to count less.

    Source
    ------
    Xie, Koyejo and Gupta 2019 (FedAsync), arXiv:1903.03934.

    Options
    -------
    slope : How fast the weight falls beyond the grace. Larger: old updates count less.
    grace : Age in versions up to which an update counts in full. Larger: more updates do.
    """

    kind: Literal["hinge"] = "hinge"
    slope: NonNegative = 10.0
    grace: NonNegative = 4.0

    def weight(self, versions: int) -> float:
        """What an update of this age counts."""
        return 1.0 / (1.0 + self.slope * max(0.0, versions - self.grace))


STALENESS: dict[str, type[Any]] = {"constant": Constant, "polynomial": Polynomial, "hinge": Hinge}
