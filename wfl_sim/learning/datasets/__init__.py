"""Data sets: labelled examples, each under the name by which a scenario's ``learning.data.name`` selects it.

Know examples and where they lie; neither models nor clients. A new data set is one file and one line here.
"""

from wfl_sim.learning.datasets.base import DataSet
from wfl_sim.learning.datasets.csvfile import CsvTexts
from wfl_sim.learning.datasets.fashion_mnist import FashionMnist
from wfl_sim.learning.datasets.hub import HubData
from wfl_sim.learning.datasets.newsgroups20 import Newsgroups20
from wfl_sim.learning.datasets.shakespeare import Shakespeare
from wfl_sim.learning.datasets.supersenses import WordNet10, WordNet19

DATA_SETS: dict[str, type[DataSet]] = {
    "builtin:wordnet10": WordNet10,
    "builtin:wordnet19": WordNet19,
    "builtin:newsgroups20": Newsgroups20,
    "builtin:fashion_mnist": FashionMnist,
    "builtin:shakespeare": Shakespeare,
    "csv:PATH": CsvTexts,
    "OWNER/NAME": HubData,
}
# Of these the name in a scenario says which data are meant: `takes` tells whether a name is one of them.
OPEN = (CsvTexts, HubData)
