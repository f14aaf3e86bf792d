"""Pre-trained models behind one face: inputs, hidden states, and for language models norm and vocabulary.

Knows tensors, texts and images; neither adapters and heads, nor clients, nor time.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # models come from packages and folders, unless a user asks for more
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from channels.units import shown
from wfl_sim.errors import MissingResource
from wfl_sim.learning import pixels, tokens
from wfl_sim.learning.examples import Examples, TaskKind
from wfl_sim.learning.frozen import freeze
from wfl_sim.learning.norms import is_plain
from wfl_sim.learning.options import Model
from wfl_sim.learning.sources import model_folder

# Largest difference between a language model's own logits and those of its last states, norm and output matrix, as a
# share of the largest logit: both are the same operations in float32, in other shapes.
SAME_LOGITS = 1e-4
# Images that take more than this as float32 become pixels batch by batch: 4000 of 224 x 224 x 3 would take 2.4 GB.
PIXELS_AT_ONCE_BYTES = 512 << 20


class Batch(NamedTuple):
    """Some examples: token ids [rows, longest] or pixels [rows, channels, height, width], mask, labels [rows].

    `mask` [rows, longest] is 1 where there is a token; None where nothing is padded.
    """

    values: Tensor
    mask: Tensor | None
    labels: Tensor


class Inputs:
    """What a model reads of all examples: token ids [n, longest] with their `lengths`, or pixels.

    `late` makes a batch's values of some of `values`: pixels of bytes, where all pixels would take too much memory.
    """

    def __init__(
        self,
        values: Tensor,
        lengths: Tensor | None,
        labels: Tensor,
        late: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.values, self.lengths, self.labels, self._late = values, lengths, labels, late
        # All masks there are, by length: row l has l ones. Lengths are kept on the CPU, where batches are cut.
        longest = values.shape[1] if lengths is not None else 0
        self._masks = torch.ones(longest + 1, longest, dtype=torch.int64).tril_(-1).to(values.device)
        self._cpu_lengths = None if lengths is None else lengths.cpu()

    def __len__(self) -> int:
        return int(self.labels.shape[0])

    def batch(self, rows: Tensor) -> Batch:
        """Some examples, cut to the longest text among them; `rows` is on the CPU."""
        index = rows if self.values.device.type == "cpu" else rows.to(self.values.device)
        labels = self.labels[index]
        if self.lengths is None or self._cpu_lengths is None:
            values = self.values[index]
            return Batch(values if self._late is None else self._late(values), None, labels)
        lengths = self._cpu_lengths[rows]
        least, most = (int(x) for x in torch.aminmax(lengths))
        values = self.values[:, :most].index_select(0, index)
        if least == most:
            return Batch(values, None, labels)
        return Batch(values, self._masks[:, :most].index_select(0, self.lengths[index]), labels)


@dataclass(frozen=True)
class Backbone:
    """A frozen model in single precision, cut to its first layers; adapters are put into `module`.

    `norm` and `vocabulary` [V, hidden] are a language model's: its logits are norm(states) @ vocabulary.T. The norm is
    taken out of `module`.
    """

    kind: TaskKind
    name: str
    module: torch.nn.Module
    hidden: int
    norm: torch.nn.Module | None
    vocabulary: Tensor | None
    device: torch.device
    _folder: Path
    _picture: pixels.Picture | None

    def inputs(self, examples: Examples, max_tokens: int) -> Inputs:
        """What the model reads of examples: texts cut to `max_tokens`, images as the model wants them."""
        labels = torch.from_numpy(examples.labels).to(self.device)
        if self._picture is not None:
            if not isinstance(examples.inputs, np.ndarray):
                raise MissingResource(f"model {self.name!r} reads images, the data set holds texts")
            images = torch.from_numpy(examples.inputs).to(self.device)
            if 4 * len(examples) * self._picture.values > PIXELS_AT_ONCE_BYTES:
                return Inputs(images, None, labels, self._picture.pixels)
            return Inputs(self._picture.pixels(images), None, labels)
        if isinstance(examples.inputs, np.ndarray):
            raise MissingResource(f"model {self.name!r} reads texts, the data set holds images")
        ids, lengths = tokens.padded(tokens.token_ids(self._folder, examples.inputs, max_tokens), self.name)
        return Inputs(torch.from_numpy(ids).to(self.device), torch.from_numpy(lengths).to(self.device), labels)

    def tokens(self, max_tokens: int) -> int:
        """How many vectors go through the layers for one example (of a text, at most)."""
        return max_tokens if self._picture is None else self._picture.tokens

    def states(self, batch: Batch) -> Tensor:
        """What a head reads.

        Of a text the mean of its tokens' last vectors [rows, hidden]; of an image the class token after the final norm,
        or the mean of all where there is no class token [rows, hidden]; in language modelling the vectors of all tokens
        before the final norm [rows, longest, hidden].
        """
        if self._picture is not None:
            last: Tensor = self.module(pixel_values=batch.values).last_hidden_state
            return last[:, 0] if self._picture.class_token else last.mean(dim=1)
        if self.kind == "language":
            # Padding comes last, and no token of a causal model sees a later one: a mask would change nothing.
            return self.module(input_ids=batch.values).last_hidden_state  # type: ignore[no-any-return]
        mask = batch.mask
        # The mean in single precision also where the layers calculate in half.
        last = self.module(input_ids=batch.values, attention_mask=mask).last_hidden_state.float()
        if mask is None:
            return last.mean(dim=1)
        share = mask.to(last.dtype)
        return (last * share[..., None]).sum(dim=1) / share.sum(dim=1, keepdim=True)


def load(model: Model, kind: TaskKind = "text", device: str = "cpu") -> Backbone:
    """The model of a scenario for a kind of task.

    Raises
    ------
    MissingResource
        There is no such model, its weights are not all there, it has too few layers, or it is none for this task.
    """
    folder = model_folder(model.name, whole=True)
    whole = _pretrained(folder, model.name, kind)
    norm = vocabulary = picture = None
    module = whole
    whole.eval().config.use_cache = False  # nothing is generated
    if kind == "language":
        module, norm, vocabulary = _opened(whole, model.name)
    elif kind == "image":
        picture = pixels.Picture.of(folder, model.name, whole.config, _has_class_token(whole))
    if hasattr(module, "pooler"):
        module.pooler = None  # nothing reads it
    hidden = int(module.config.hidden_size)
    if model.layers is not None:
        _cut(module, model.name, model.layers)
    place = torch.device(device)
    for part in (module, norm):
        if part is not None:
            freeze(part.to(place).eval())
    if vocabulary is not None:
        vocabulary = vocabulary.detach().to(place)
    return Backbone(kind, model.name, module, hidden, norm, vocabulary, place, folder, picture)


def _pretrained(folder: Path, name: str, kind: TaskKind) -> Any:
    """The whole model, with all its weights from the folder."""
    if (folder / "adapter_config.json").is_file():  # which the library would put in without a word
        raise MissingResource(
            f"model {name!r}: its folder holds an adapter (adapter_config.json); merge it into the weights, or move "
            "its files elsewhere"
        )
    import transformers  # loads for seconds; what only tokenises does without

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    loader: Any = transformers.AutoModelForCausalLM if kind == "language" else transformers.AutoModel

    def attempt(attention: str) -> tuple[Any, dict[str, Any]]:
        return loader.from_pretrained(  # type: ignore[no-any-return]
            str(folder),
            dtype=torch.float32,
            attn_implementation=attention,
            trust_remote_code=False,  # and never ask whether to
            local_files_only=True,
            output_loading_info=True,
        )

    try:
        try:
            found, info = attempt("sdpa")
        except ValueError as error:
            if "scaled_dot_product_attention" not in str(error):
                raise
            found, info = attempt("eager")
    except MemoryError:
        raise
    except Exception as error:  # of a damaged folder the library raises errors of many kinds
        what = "a causal language model" if kind == "language" else f"a model of {kind}s"
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise MissingResource(f"model {name!r} cannot be loaded as {what}: {shown(lines[0])}") from None
    if getattr(found.config, "is_encoder_decoder", False):
        raise MissingResource(f"model {name!r} has an encoder and a decoder; name a model that is one of them")
    asked = "pixel_values" if kind == "image" else "input_ids"
    if found.main_input_name != asked:
        reads = "images" if found.main_input_name == "pixel_values" else "texts"
        raise MissingResource(f"model {name!r} reads {reads}; the task of learning.data.name is of the kind {kind!r}")
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key.split("."))
    if missing:
        raise MissingResource(
            f"model {name!r}: its weights lack {len(missing)} tensors, among them {missing[0]!r}; "
            + ("name a model that was trained as a language model" if kind == "language" else "its folder is damaged")
        )
    return found


def _has_class_token(module: torch.nn.Module) -> bool:
    return any(name.rpartition(".")[2] in ("cls_token", "class_embedding") for name, _ in module.named_parameters())


def _opened(whole: Any, name: str) -> tuple[Any, torch.nn.Module, Tensor]:
    """Body without its final norm, the norm and the output matrix of a causal language model; checked to be one."""
    body, output = whole.base_model, whole.get_output_embeddings()
    if body is whole or output is None:
        raise MissingResource(f"model {name!r} has no output matrix; name a causal language model")
    with torch.no_grad():
        # Two texts of four tokens that differ in the last.
        ids = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 4]]) % int(whole.config.vocab_size)
        wanted: Tensor = whole(input_ids=ids).logits
        if not torch.allclose(wanted[0, :3], wanted[1, :3], atol=float(wanted.abs().max()) * SAME_LOGITS, rtol=0.0):
            raise MissingResource(f"model {name!r} is no causal language model: its tokens see later ones")
        # The final norm is the last that lies in none of the numbered layers.
        outside = [(n, m) for n, m in body.named_modules() if not any(part.isdigit() for part in n.split("."))]
        norms = [(n, m) for n, m in outside if "norm" in type(m).__name__.lower()]
        if not norms:
            raise MissingResource(f"model {name!r} has no final norm; name a causal language model")
        path, norm = norms[-1]
        body.set_submodule(path, torch.nn.Identity())
        got = norm(body(input_ids=ids).last_hidden_state) @ output.weight.T
        if not torch.allclose(got, wanted, atol=float(wanted.abs().max()) * SAME_LOGITS, rtol=0.0):
            raise MissingResource(
                f"model {name!r} does more between its last layer and its logits than a norm and a matrix; models of "
                "the families Llama and GPT-2 do not"
            )
        if not is_plain(norm, output.weight.shape[1]):
            raise MissingResource(
                f"model {name!r}: its last norm, {type(norm).__name__}, is no plain layer norm or RMS norm with a "
                "gain, which is what would be trained; models of the families Llama and GPT-2 have one"
            )
    return body, norm, output.weight


def _cut(module: Any, name: str, layers: int) -> None:
    """Keep the first layers only: of the one list of modules that is as long as the model is deep."""
    depth = int(module.config.num_hidden_layers)
    if layers > depth:
        raise MissingResource(f"model {name!r} has {depth} layers, {layers} are asked for")
    path = stack(module, name, "which layers to keep", "leave out learning.model.layers")
    parent, _, attribute = path.rpartition(".")
    setattr(module.get_submodule(parent), attribute, module.get_submodule(path)[:layers])
    module.config.num_hidden_layers = layers


def stack(module: Any, name: str, what: str, way_out: str) -> str:
    """The path of the one list of modules that is as long as the model is deep: its layers.

    Raises
    ------
    MissingResource
        There is none, or more than one; the text says `what` then is not clear, and the `way_out`.
    """
    depth = int(module.config.num_hidden_layers)
    lists: dict[str, Any] = {n: m for n, m in module.named_modules() if isinstance(m, torch.nn.ModuleList)}
    stacks: list[str] = [path for path, modules in lists.items() if len(modules) == depth]
    if len(stacks) != 1:
        found = ", ".join(f"{path} ({len(modules)})" for path, modules in lists.items()) or "none"
        raise MissingResource(
            f"model {name!r}: {what} is not clear (looked for one list of {depth} modules; lists: {found}); {way_out}"
        )
    return stacks[0]
