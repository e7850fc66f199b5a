"""MPNet with ONNX Runtime's operator `Attention` in its graph.

`onnxruntime.transformers.optimizer` does not recognise MPNet's attention, because of the bias that it adds
to the scores by relative position. The operator has an input for such a bias, so the graph is exported with
it at once, and the optimizer recognises everything around it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.onnx import symbolic_helper
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder, MPNetSelfAttention


class Attention(torch.autograd.Function):
    """Products with the weights of queries, keys and values, and attention. Exported and never computed."""

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        weights: torch.Tensor,
        biases: torch.Tensor,
        mask: torch.Tensor,
        position_bias: torch.Tensor,
        heads: int,
    ) -> torch.Tensor:
        return states.clone()

    @staticmethod
    def symbolic(
        g: Any, states: Any, weights: Any, biases: Any, mask: Any, position_bias: Any, heads: int
    ) -> Any:
        past = symbolic_helper._optional_input_placeholder_tensor(g)
        inputs = (states, weights, biases, mask, past, position_bias)
        return g.op("com.microsoft::Attention", *inputs, num_heads_i=heads).setType(states.type())


@contextmanager
def attention_operators(mask: torch.Tensor) -> Iterator[None]:
    """Within it, MPNet's attention is the operator; the mask `[texts][tokens]` is 0 at padding, else 1."""

    def forward(
        self: MPNetSelfAttention,
        states: torch.Tensor,
        extended_mask: torch.Tensor,
        head_mask: None,
        position_bias: torch.Tensor,
        **_: Any,
    ) -> tuple[torch.Tensor]:
        layers = (self.q, self.k, self.v)
        weights = torch.cat([layer.weight for layer in layers]).T.contiguous()
        biases = torch.cat([layer.bias for layer in layers])
        int32 = mask.to(torch.int32)
        context = Attention.apply(states, weights, biases, int32, position_bias, self.num_attention_heads)
        return (self.o(context),)

    compute_position_bias = MPNetEncoder.compute_position_bias

    def of_one_text(self: MPNetEncoder, states: torch.Tensor) -> torch.Tensor:
        """The bias is alike for all texts, and the operator does not want it once for each."""
        bias: torch.Tensor = compute_position_bias(self, states[:1])
        return bias

    with (
        mock.patch.object(MPNetSelfAttention, "forward", forward),
        mock.patch.object(MPNetEncoder, "compute_position_bias", of_one_text),
    ):
        yield
