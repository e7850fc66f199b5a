"""Fits the polynomials of `kernels/src/math.rs` and prints their coefficients.

    python polynomials.py          (needs numpy and mpmath)

Each polynomial is a weighted minimax fit (Lawson's iteratively reweighted least squares on a dense
Chebyshev grid), in 80-bit floats against mpmath. Its coefficients are then rounded to f32 one after
the other, from the lowest degree up, and the rest is fitted again after each rounding, so that later
coefficients make up for the rounding of earlier ones.
"""

from collections.abc import Callable, Sequence

import mpmath
import numpy as np
import numpy.typing as npt

mpmath.mp.dps = 40
GRID = 2000

Extended = npt.NDArray[np.longdouble]
Function = Callable[[mpmath.mpf], mpmath.mpf]


def lawson(
    x: Extended, target: Extended, weight: Extended, powers: Sequence[int], steps: int = 400
) -> tuple[Extended, float]:
    """Coefficients c that minimise max |weight * (sum c_i x^powers_i - target)|."""
    matrix = np.stack([x**p for p in powers], axis=1) * weight[:, None]
    goal = target * weight
    lawson_weight = np.full(len(x), 1.0 / len(x))
    best, best_error = None, np.inf
    for _ in range(steps):
        root = np.sqrt(lawson_weight)
        scale = np.abs(matrix * root[:, None]).max(axis=0)
        scale[scale == 0] = 1
        coefficients, *_ = np.linalg.lstsq(
            (matrix * root[:, None] / scale).astype(np.float64), (goal * root).astype(np.float64), rcond=None
        )
        coefficients = coefficients / scale
        error = np.abs(matrix @ coefficients - goal)
        if error.max() < best_error:
            best, best_error = coefficients, error.max()
        lawson_weight = lawson_weight * (error + 1e-30)
        lawson_weight /= lawson_weight.sum()
    return best, best_error


def fit(name: str, function: Function, low: float, high: float, degree: int, weight: Function) -> None:
    """Minimax fit of function on [low, high] with coefficients that are f32 numbers."""
    nodes = np.cos(np.pi * (np.arange(GRID) + 0.5) / GRID).astype(np.longdouble)
    x = (low + high) / 2 + (high - low) / 2 * nodes
    target = np.array([np.longdouble(str(function(mpmath.mpf(str(v))))) for v in x])
    weights = np.array([np.longdouble(str(weight(mpmath.mpf(str(v))))) for v in x])
    _, unrounded = lawson(x, target, weights, range(degree + 1))
    fixed = []
    for done in range(degree + 1):
        rest = target - sum((np.longdouble(c) * x**p for p, c in enumerate(fixed)), np.longdouble(0))
        coefficients, _ = lawson(x, rest, weights, range(done, degree + 1), steps=150)
        fixed.append(np.float32(coefficients[0]))
    error = np.abs(weights * (sum(np.longdouble(c) * x**p for p, c in enumerate(fixed)) - target)).max()
    print(f"{name}: weighted error {float(error):.3e} (before rounding {float(unrounded):.3e})")
    for p, c in enumerate(fixed):
        print(f"    c{p} = {c!s:>16}  # {int(c.view(np.uint32)):#010x}")


def exp_tail(r: mpmath.mpf) -> mpmath.mpf:
    """q with exp(r) = 1 + r + r^2 q(r)."""
    return (mpmath.exp(r) - 1 - r) / r**2 if r != 0 else mpmath.mpf(1) / 2


def erf_small(s: mpmath.mpf) -> mpmath.mpf:
    """p with erf(x) = x + x p(x^2)."""
    x = mpmath.sqrt(s)
    return mpmath.erf(x) / x - 1


def erfc_log(t: mpmath.mpf) -> mpmath.mpf:
    """q with erf(t) = 1 - exp(t q(t)) for t > 0."""
    return mpmath.log(mpmath.erfc(t)) / t


def tanh_small(s: mpmath.mpf) -> mpmath.mpf:
    """p with tanh(x) = x + x p(x^2)."""
    x = mpmath.sqrt(s)
    return mpmath.tanh(x) / x - 1


if __name__ == "__main__":
    edge = 0.5 * np.log(2.0) * 1.0001
    fit("exp, r in ±ln2/2", exp_tail, -edge, edge, 4, lambda r: r**2 * mpmath.exp(-r))
    fit("erf, x^2 for |x| < 0.9375", erf_small, 1e-9, 0.9375**2, 5, lambda s: 1 / (1 + erf_small(s)))
    fit("erf, |x| in 0.9375..4", erfc_log, 0.9375, 4.0, 6, lambda t: t * mpmath.erfc(t) / mpmath.erf(t))
    fit("tanh, x^2 for |x| < 0.75", tanh_small, 1e-9, 0.75**2, 5, lambda s: 1 / (1 + tanh_small(s)))
