"""ONNX Runtime: the exported graph, the same fused by its own optimizer, and that with int8 weights."""

import numpy as np
import onnxruntime as ort

from .. import artefacts
from ..batches import Ids, Vectors
from .engine import Place, States, StatesEngine

ONE_THREAD = ", a batch a thread"
GRAPHS = {"fused": artefacts.FUSED, "exported": artefacts.EXPORTED, "fused int8": artefacts.FUSED_INT8}


class OnnxRuntimeEngine(StatesEngine):
    def __init__(self, place: Place, precision: str) -> None:
        super().__init__(place)
        # In f32, the session's own fusions of the exported graph are sometimes the faster ones.
        graphs = ("fused", "exported") if precision == "f32" else ("fused int8",)
        self.alone_ways = self.bulk_ways = graphs
        if place.threads > 1:
            self.batch_a_thread = tuple(graph + ONE_THREAD for graph in graphs)
            self.bulk_ways = graphs + self.batch_a_thread

    def runner(self, way: str) -> States:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1 if way in self.batch_a_thread else self.place.threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        path = self.place.artefacts / GRAPHS[way.removesuffix(ONE_THREAD)]
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        # The fused graph takes int32 and the exported one int64.
        types = {item.name: np.int32 if "int32" in item.type else np.int64 for item in session.get_inputs()}

        def run(ids: Ids, mask: Ids) -> Vectors:
            values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            feed = {name: values[name].astype(dtype, copy=False) for name, dtype in types.items()}
            states: Vectors = session.run([artefacts.OUTPUT], feed)[0]
            return states

        return run

    def settings(self) -> dict[str, object]:
        return {
            "onnxruntime": ort.__version__,
            "intra_op_num_threads": self.place.threads,
            "inter_op_num_threads": 1,
            "graph_optimization_level": "ORT_ENABLE_ALL",
            "quantisation": "dynamic, QInt8 weights per channel, reduce_range off"
            if "fused int8" in self.alone_ways
            else None,
        }
