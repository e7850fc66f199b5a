"""Makes the artefacts that are not there yet, in a process of its own.

python -m peers.conversion --model DIR --artefacts DIR
"""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from ctranslate2.converters import TransformersConverter
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from transformers import AutoModel

from .artefacts import (
    CTRANSLATE2_F32,
    CTRANSLATE2_INT8,
    EXPORTED,
    FUSED,
    FUSED_INT8,
    INPUTS,
    OUTPUT,
)


class Encoder(torch.nn.Module):
    """From ids to the last layer's states, by position, as the exporter wants it."""

    def __init__(self, bert: torch.nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        output = self.bert(input_ids=ids, attention_mask=mask, token_type_ids=types)
        states: torch.Tensor = output.last_hidden_state
        return states


def export(model: Path, path: Path) -> None:
    # The plain form of attention, which the optimizer recognises.
    bert = AutoModel.from_pretrained(model, attn_implementation="eager").eval()
    ids = torch.ones(2, 9, dtype=torch.long)
    axes = {name: {0: "batch", 1: "tokens"} for name in [*INPUTS, OUTPUT]}
    with torch.no_grad():
        torch.onnx.export(
            Encoder(bert),
            (ids, ids, torch.zeros_like(ids)),
            str(path),
            input_names=INPUTS,
            output_names=[OUTPUT],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )


def fuse(exported: Path, path: Path, heads: int, hidden_size: int, layers: int) -> None:
    fused = optimizer.optimize_model(
        str(exported),
        model_type="bert",
        num_heads=heads,
        hidden_size=hidden_size,
        # The optimizer's own fusions; the rest is done when a session is created.
        opt_level=0,
        optimization_options=FusionOptions("bert"),
    )
    counts = fused.get_fused_operator_statistics()
    wanted = {
        "EmbedLayerNormalization": 1,
        "Attention": layers,
        "BiasGelu": layers,
        "SkipLayerNormalization": 2 * layers,
    }
    found = {name: counts[name] for name in wanted}
    if found != wanted:
        raise SystemExit(f"the fused graph should have {wanted}, but has {found}")
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


def make(model: Path, directory: Path) -> None:
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    heads, hidden_size, layers = (
        config[name] for name in ("num_attention_heads", "hidden_size", "num_hidden_layers")
    )
    exported, fused = directory / EXPORTED, directory / FUSED
    steps: dict[str, Callable[[Path], None]] = {
        EXPORTED: lambda path: export(model, path),
        FUSED: lambda path: fuse(exported, path, heads, hidden_size, layers),
        FUSED_INT8: lambda path: quantize(fused, path),
        CTRANSLATE2_F32: lambda path: convert(model, path, None),
        CTRANSLATE2_INT8: lambda path: convert(model, path, "int8"),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, step in steps.items():
        if not (directory / name).exists():
            incomplete = directory / f"incomplete-{name}"
            step(incomplete)
            os.replace(incomplete, directory / name)


def main() -> None:
    parser = argparse.ArgumentParser(prog="peers.conversion")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--artefacts", type=Path, required=True)
    arguments = parser.parse_args()
    make(arguments.model, arguments.artefacts)


if __name__ == "__main__":
    main()
