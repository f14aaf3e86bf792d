"""Makes the image model ``builtin:vit-fashion``: a small vision transformer that knows five kinds of clothes.

Knows the images set aside for it (classes 0 to 4 of Fashion-MNIST) and nothing of the task that follows.

Run as a module it makes the model anew:  python -m wfl_sim.learning.pretrain FOLDER
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from channels.streams import Stream
from wfl_sim.errors import MissingResource
from wfl_sim.learning import packages
from wfl_sim.learning.examples import Examples

NAME = "builtin:vit-fashion"
SEED = 20170828
EPOCHS, BATCH, RATE, DECAY = 4, 64, 1e-3, 0.05
WARM_UP = 0.1  # share of the steps in which the rate rises; then it falls as a cosine
SIZES = {
    "image_size": 28,
    "patch_size": 4,
    "num_channels": 1,
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
# Mean and deviation of the pixels of the images set aside, in [0, 1], rounded.
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.313],
    "image_std": [0.362],
    "size": {"height": 28, "width": 28},
}


def make(folder: Path, say: Callable[[str], None]) -> None:
    """Train the model and write its folder.

    Raises
    ------
    MissingResource
        The images are not on this computer, or the folder cannot be written.
    """
    from wfl_sim.learning.data import data_set

    say("reading the 12,000 images of Fashion-MNIST that are set aside for it")
    images: Any = data_set("builtin:fashion_mnist")
    examples = images.pretraining()
    try:
        with packages.workspace(folder) as work:
            made = work / "made"
            train(examples, made, say)
            # The description comes last: where it is, everything is.
            names = sorted((path.name for path in made.iterdir()), key=lambda name: (name == "config.json", name))
            packages.store({name: made / name for name in names}, folder, record())
    except packages.Unavailable as error:
        raise MissingResource(f"model {NAME!r} cannot be made: {error}") from None


def record() -> dict[str, str]:
    """What stands beside the files."""
    how = f"{EPOCHS} epochs of batches of {BATCH}, seed {SEED}, torch {torch.__version__}"
    return {"origin": "trained here on Fashion-MNIST, classes 0 to 4", "how": how, "licence": "MIT, as the images"}


def train(examples: Examples, folder: Path, say: Callable[[str], None], epochs: int = EPOCHS) -> float:
    """Train a model from nothing to tell the examples' classes; write it without the head that it learnt with.

    The result is a function of the seed, and of torch's version: all draws come from keyed streams, and one thread
    works. Returns the share of the last epoch's examples that were told rightly.
    """
    import transformers

    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    assert isinstance(examples.inputs, np.ndarray)
    stream = Stream.root(SEED).child("pretraining")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = transformers.ViTModel(transformers.ViTConfig(**SIZES), add_pooling_layer=False)  # type: ignore[arg-type]
        head = torch.nn.Linear(SIZES["hidden_size"], int(examples.labels.max()) + 1)
        _first_weights([model, head], stream.child("weights"))
        mean, deviation = PROCESSOR["image_mean"][0], PROCESSOR["image_std"][0]  # type: ignore[index]
        pixels = (torch.from_numpy(examples.inputs)[:, None] / 255 - mean) / deviation
        labels = torch.from_numpy(examples.labels)
        steps = -(-len(examples) // BATCH)
        optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=RATE, weight_decay=DECAY)
        rate = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, RATE, total_steps=epochs * steps, pct_start=WARM_UP, cycle_momentum=False
        )
        share = 0.0
        for epoch in range(epochs):
            right = 0
            for rows in _batches(len(examples), stream.child("batches"), epoch):
                optimizer.zero_grad()
                logits = head(model(pixel_values=pixels[rows]).last_hidden_state[:, 0])
                torch.nn.functional.cross_entropy(logits, labels[rows]).backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                rate.step()
                right += int((logits.argmax(dim=1) == labels[rows]).sum())
            share = right / len(examples)
            say(f"epoch {epoch + 1} of {epochs}: {share:.1%} of the training images told rightly")
    finally:
        torch.set_num_threads(threads)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR, indent=2) + "\n", encoding="utf-8")
    return share


def _first_weights(modules: list[torch.nn.Module], stream: Stream) -> None:
    """Matrices and places normal with deviation 0.02, cut at two deviations; norms the identity, biases 0."""
    with torch.no_grad():
        number = 0
        for module in modules:
            for name, tensor in module.named_parameters():
                if tensor.ndim == 1:
                    tensor.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
                    continue
                draw = np.clip(stream.generator(0, number).standard_normal(tuple(tensor.shape)), -2.0, 2.0)
                tensor.copy_(torch.from_numpy(0.02 * draw))
                number += 1


def _batches(count: int, stream: Stream, epoch: int) -> Iterator[torch.Tensor]:
    order = torch.from_numpy(stream.generator(0, epoch).permutation(count))
    yield from torch.split(order, BATCH)


if __name__ == "__main__":
    make(Path(sys.argv[1]), print)
