"""Whether an engine computes what the reference computes: asked before it is timed."""

from dataclasses import dataclass

import numpy as np

from .batches import Vectors

# An f32 engine may differ by this in any component of a vector of length 1.
F32_LARGEST_DIFFERENCE = 1e-5
# Narrower types may turn vectors this far: the mean and the smallest cosine.
COSINES = {"bf16": (0.9995, 0.999), "int8": (0.98, 0.90)}


@dataclass(frozen=True)
class Accuracy:
    """An engine's vectors beside the reference's."""

    cosine_mean: float
    cosine_p1: float
    cosine_min: float
    #: Of any component, in parts of the length of the reference's vector.
    largest_difference: float

    @classmethod
    def of(cls, vectors: Vectors, reference: Vectors) -> "Accuracy":
        if vectors.shape != reference.shape:
            raise SystemExit(f"expected vectors {reference.shape}, found {vectors.shape}")
        a, b = vectors.astype(np.float64), reference.astype(np.float64)
        lengths = np.linalg.norm(b, axis=1)
        cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / lengths
        return cls(
            cosine_mean=float(cosines.mean()),
            cosine_p1=float(np.quantile(cosines, 0.01)),
            cosine_min=float(cosines.min()),
            largest_difference=float((np.abs(a - b) / lengths[:, None]).max()),
        )

    def is_good(self, precision: str) -> bool:
        # NaN fails every comparison.
        if precision == "f32":
            return self.largest_difference <= F32_LARGEST_DIFFERENCE
        mean, smallest = COSINES[precision]
        return self.cosine_mean >= mean and self.cosine_min >= smallest
