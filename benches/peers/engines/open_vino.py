"""OpenVINO over the exported graph, which it fuses by itself."""

import threading

import numpy as np
import openvino as ov
from openvino import properties
from openvino.properties import hint

from .. import artefacts
from ..batches import Ids, Vectors
from .engine import Place, States, StatesEngine

TYPES = {"f32": ov.Type.f32, "bf16": ov.Type.bf16}


class OpenVinoEngine(StatesEngine):
    def __init__(self, place: Place, precision: str) -> None:
        super().__init__(place)
        self.precision = precision
        self.alone_ways = ("latency hint",)
        self.bulk_ways = ("latency hint", "throughput hint")
        self.batch_a_thread = ("throughput hint",)
        self.core = ov.Core()
        self.compiled: dict[str, ov.CompiledModel] = {}

    def runner(self, way: str) -> States:
        latency = way == "latency hint"
        mode = hint.PerformanceMode.LATENCY if latency else hint.PerformanceMode.THROUGHPUT
        config = {
            hint.performance_mode: mode,
            # Left alone, a processor with bf16 computes in it.
            hint.inference_precision: TYPES[self.precision],
            hint.enable_cpu_pinning: False,
            properties.inference_num_threads: self.place.threads,
            properties.num_streams: 1 if latency else self.place.threads,
        }
        compiled = self.core.compile_model(self.place.artefacts / artefacts.EXPORTED, "CPU", config)
        names = {name for item in compiled.inputs for name in item.names}
        self.compiled[way] = compiled
        # A request holds its input and output, so a thread needs one of its own.
        requests = threading.local()

        def run(ids: Ids, mask: Ids) -> Vectors:
            if not hasattr(requests, "own"):
                requests.own = compiled.create_infer_request()
            values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            feed = {name: value for name, value in values.items() if name in names}
            # Pooled before the request runs again, so its own memory can be lent.
            states: Vectors = requests.own.infer(feed, share_inputs=True, share_outputs=True)[0]
            return states

        return run

    def keep(self, ways: set[str]) -> None:
        super().keep(ways)
        self.compiled = {way: model for way, model in self.compiled.items() if way in ways}

    def settings(self) -> dict[str, object]:
        used = {}
        for way, model in self.compiled.items():
            names = ("INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS", "NUM_STREAMS", "ENABLE_CPU_PINNING")
            used[way] = {name: str(model.get_property(name)) for name in names}
        return {"openvino": ov.get_version(), "properties": used}
