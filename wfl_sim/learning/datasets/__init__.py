"""Data sets: labelled texts, each under the name by which a scenario's ``learning.data.name`` selects it.

Know texts and where they lie; neither models nor clients. A new data set is one file and one line here.
"""

from wfl_sim.learning.datasets.base import DataSet
from wfl_sim.learning.datasets.wordnet10 import WordNet10

DATA_SETS: dict[str, type[DataSet]] = {"builtin:wordnet10": WordNet10}
