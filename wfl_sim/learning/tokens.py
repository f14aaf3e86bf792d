"""Token ids of texts, by the tokenizer in a model's folder.

Knows texts and numbers; no tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wfl_sim.errors import MissingResource


def token_ids(folder: Path, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """The ids of each text, with those that the tokenizer adds at its ends, cut to `max_tokens`."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    inner = getattr(tokenizer, "backend_tokenizer", None)
    if inner is None:
        ids: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
        return ids
    # The same, without the library's wrapping of each text, which takes as long again.
    inner.no_padding()
    inner.enable_truncation(max_tokens, direction=tokenizer.truncation_side)
    return [encoded.ids for encoded in inner.encode_batch_fast(list(texts))]


def padded(rows: Sequence[Sequence[int]], name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids [n, longest], padded with 0 at the end, and lengths [n]."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    if lengths.size and not lengths.all():
        empty = int(np.argmin(lengths))
        raise MissingResource(f"model {name!r} makes no token of text {empty} of the data set; leave such texts out")
    ids = np.zeros((lengths.size, int(lengths.max(initial=0))), dtype=np.int64)
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
    return ids, lengths
