"""Makes the artefacts that are not there yet, in a process of its own.

python -m peers.conversion --model DIR --artefacts DIR --names fused.onnx,ctranslate2-f32
"""

import argparse
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from ctranslate2.converters import TransformersConverter
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from transformers import AutoConfig, AutoModel

from .artefacts import CTRANSLATE2_F32, CTRANSLATE2_INT8, EXPORTED, FUSED, FUSED_INT8, OUTPUT
from .model import Model

# What surrounds the forward pass while it is exported; it is told the mask.
Around = Callable[[torch.Tensor], AbstractContextManager[None]]

# Operators of its own that the fused graph must have: around attention in all architectures, more in most.
AROUND_ATTENTION = frozenset({"BiasGelu", "SkipLayerNormalization"})
WITH_ATTENTION = AROUND_ATTENTION | {"Attention"}
FUSIONS = {
    "bert": WITH_ATTENTION | {"EmbedLayerNormalization"},
    "mpnet": WITH_ATTENTION | {"EmbedLayerNormalization"},
    "roberta": WITH_ATTENTION,
    "xlm-roberta": WITH_ATTENTION,
}
# Its name for the operators that are not ONNX's.
OPSET = {"com.microsoft": 1}


class Encoder(torch.nn.Module):
    """From ids to the last layer's states, by position, as the exporter wants it."""

    def __init__(self, transformer: torch.nn.Module, names: list[str], around: Around) -> None:
        super().__init__()
        self.transformer, self.names, self.around = transformer, names, around

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        values = dict(zip(self.names, inputs, strict=True))
        with self.around(values["attention_mask"]):
            states: torch.Tensor = self.transformer(**values).last_hidden_state
        return states


def export(model: Model, path: Path, around: Around = lambda mask: nullcontext()) -> None:
    """The graph, every operation as it stands in the library, but for what `around` changes meanwhile."""
    # The plain form of attention, which the optimizer recognises.
    transformer = AutoModel.from_pretrained(model.folder, attn_implementation="eager").eval()
    # No token is padding, from which some models count positions.
    values = {name: torch.full((2, 9), 5) for name in model.inputs}
    values["attention_mask"] = torch.ones_like(values["input_ids"])
    if "token_type_ids" in values:
        values["token_type_ids"] = torch.zeros_like(values["input_ids"])
    with torch.no_grad():
        torch.onnx.export(
            Encoder(transformer, model.inputs, around),
            tuple(values.values()),
            str(path),
            input_names=model.inputs,
            output_names=[OUTPUT],
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in [*model.inputs, OUTPUT]},
            opset_version=17,
            dynamo=False,
            custom_opsets=OPSET,
        )


def export_attention(model: Model, path: Path) -> None:
    """MPNet's graph with operators of attention in it."""
    from .fused_mpnet import attention_operators

    export(model, path, attention_operators)


def fuse(model: Model, exported: Path, path: Path, operators: frozenset[str]) -> None:
    config = AutoConfig.from_pretrained(model.folder)
    layers = config.num_hidden_layers
    fused = optimizer.optimize_model(
        str(exported),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        # The optimizer's own fusions; the rest is done when a session is created.
        opt_level=0,
        optimization_options=FusionOptions("bert"),
    )
    counts = fused.get_fused_operator_statistics()
    numbers = {
        "EmbedLayerNormalization": 1,
        "Attention": layers,
        "BiasGelu": layers,
        # Of MPNet without operators of attention, that of the embeddings is one, too.
        "SkipLayerNormalization": 2 * layers,
    }
    wanted = {name: numbers[name] for name in operators}
    found = {name: counts[name] for name in wanted}
    if any(found[name] < wanted[name] for name in wanted):
        raise SystemExit(f"the fused graph should have at least {wanted}, but has {found}")
    fused.save_model_to_file(str(path))


def quantize(fused: Path, path: Path) -> None:
    quantize_dynamic(
        fused,
        path,
        per_channel=True,
        # For instruction sets whose products saturate; with VNNI it only costs accuracy.
        reduce_range=False,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Attention"],
        # Shapes and types are not inferred through fused operators.
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )


def convert(model: Path, path: Path, quantization: str | None) -> None:
    TransformersConverter(str(model)).convert(str(path), quantization=quantization)


class Artefacts:
    """A directory of them, each made when it is asked for and not there yet."""

    def __init__(self, model: Model, directory: Path) -> None:
        self.model, self.directory = model, directory
        self.steps: dict[str, Callable[[Path], None]] = {
            EXPORTED: lambda path: export(model, path),
            FUSED: self.fuse,
            FUSED_INT8: self.quantize,
            CTRANSLATE2_F32: lambda path: convert(model.folder, path, None),
            CTRANSLATE2_INT8: lambda path: convert(model.folder, path, "int8"),
        }

    def get(self, name: str) -> Path:
        path = self.directory / name
        if not path.exists():
            incomplete = self.directory / f"incomplete-{name}"
            self.steps[name](incomplete)
            os.replace(incomplete, path)
        return path

    def fuse(self, path: Path) -> None:
        operators = FUSIONS.get(self.model.model_type, AROUND_ATTENTION)
        if self.model.model_type != "mpnet":
            fuse(self.model, self.get(EXPORTED), path, operators)
            return
        with TemporaryDirectory(dir=self.directory) as directory:
            exported = Path(directory) / EXPORTED
            export_attention(self.model, exported)
            fuse(self.model, exported, path, operators)

    def quantize(self, path: Path) -> None:
        if self.model.model_type != "mpnet":
            quantize(self.get(FUSED), path)
            return
        # int8's operator of attention has no input for a bias: the products in it are quantised one by one.
        with TemporaryDirectory(dir=self.directory) as directory:
            fused = Path(directory) / FUSED
            fuse(self.model, self.get(EXPORTED), fused, AROUND_ATTENTION)
            quantize(fused, path)


def main() -> None:
    parser = argparse.ArgumentParser(prog="peers.conversion")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--artefacts", type=Path, required=True)
    parser.add_argument("--names", required=True, help="which to make, separated by commas")
    arguments = parser.parse_args()
    arguments.artefacts.mkdir(parents=True, exist_ok=True)
    artefacts = Artefacts(Model.read(arguments.model), arguments.artefacts)
    for name in arguments.names.split(","):
        artefacts.get(name)


if __name__ == "__main__":
    main()
