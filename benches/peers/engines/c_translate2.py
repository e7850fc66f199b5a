"""CTranslate2's encoder, converted from the transformers model."""

import ctranslate2
import numpy as np

from .. import artefacts
from ..batches import Ids, Vectors
from .engine import Place, States, StatesEngine

TOGETHER = "all threads in a batch"
ONE_THREAD = "a batch a thread"
# Computing type and converted model.
PRECISIONS = {"f32": ("float32", artefacts.CTRANSLATE2_F32), "int8": ("int8", artefacts.CTRANSLATE2_INT8)}


class CTranslate2Engine(StatesEngine):
    def __init__(self, place: Place, precision: str) -> None:
        super().__init__(place)
        self.precision = precision
        self.alone_ways = self.bulk_ways = (TOGETHER,)
        if place.threads > 1:
            # Two threads cost int8 more on a short text than they bring; it may leave one idle.
            self.alone_ways = self.bulk_ways = (TOGETHER, ONE_THREAD)
            self.batch_a_thread = (ONE_THREAD,)

    def runner(self, way: str) -> States:
        compute_type, name = PRECISIONS[self.precision]
        intra = 1 if way == ONE_THREAD else self.place.threads
        encoder = ctranslate2.Encoder(
            str(self.place.artefacts / name),
            device="cpu",
            compute_type=compute_type,
            intra_threads=intra,
            inter_threads=self.place.threads // intra,
        )

        def run(ids: Ids, mask: Ids) -> Vectors:
            values = ctranslate2.StorageView.from_array(ids.astype(np.int32))
            lengths = ctranslate2.StorageView.from_array(mask.sum(axis=1).astype(np.int32))
            # A view of memory that the result owns.
            return np.array(encoder.forward_batch(values, lengths).last_hidden_state)

        return run

    def settings(self) -> dict[str, object]:
        return {
            "ctranslate2": ctranslate2.__version__,
            "compute_type": PRECISIONS[self.precision][0],
            "environment": "the library's own choice of BLAS and instruction set",
        }
