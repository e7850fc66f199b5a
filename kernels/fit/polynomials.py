"""Fits the polynomials of `kernels/src/math.rs` and prints their coefficients.

    python polynomials.py          (needs numpy, scipy and mpmath)

Those of exp, erf and tanh, as exact as f32 allows, are weighted minimax fits (Lawson's iteratively
reweighted least squares on a dense Chebyshev grid), in 80-bit floats against mpmath. Coefficients are then
rounded to f32 one after the other, from the lowest degree up, and the rest is fitted again after each
rounding, so that later coefficients make up for the rounding of earlier ones.

Those that bf16 and int8 make do with are minimax fits by linear programming, each with a value that it must
have: their errors are far above those of rounding their coefficients.
"""

from collections.abc import Callable, Sequence

import mpmath
import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog
from scipy.special import erf

mpmath.mp.dps = 40
GRID = 2000

Extended = npt.NDArray[np.longdouble]
Double = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]
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
    print_coefficients(fixed)


def print_coefficients(coefficients: Sequence[np.float32]) -> None:
    for p, c in enumerate(coefficients):
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


def minimax(matrix: Double, target: Double, weight: Double) -> tuple[Double, float]:
    """Coefficients c that minimise max |weight * (matrix @ c - target)|, by linear programming."""
    weighted, goal = matrix * weight[:, None], target * weight
    scale = np.abs(weighted).max(axis=0)
    weighted = weighted / scale
    count, error = weighted.shape[1], np.ones((len(target), 1))
    result = linprog(
        np.r_[np.zeros(count), 1],
        A_ub=np.block([[weighted, -error], [-weighted, -error]]),
        b_ub=np.r_[goal, -goal],
        bounds=[(None, None)] * count + [(0, None)],
        method="highs",
    )
    return result.x[:count] / scale, result.x[-1]


def fma(a: Single, b: Single, c: Single) -> Single:
    """A product of two f32 is exact in f64, so that the sum is rounded twice: rarely otherwise than once."""
    return (a.astype(np.float64) * b + c).astype(np.float32)


def half_plus(coefficients: Sequence[np.float32], t: Single) -> Single:
    """1/2 + t P(t^2) as f32 computes it."""
    square, half = t * t, np.full_like(t, 0.5)
    value = np.full_like(t, coefficients[-1])
    for c in coefficients[-2::-1]:
        value = fma(value, square, np.full_like(t, c))
    return fma(t, value, half)


def fit_gelu(end: float, degree: int) -> None:
    """P with gelu(x) = x (1/2 + t P(t^2)), t = x but within +-end, where the bracket is 1 and 0.

    With P(u) = 1/(2 end) + (u - end^2) Q(u) it is, whatever Q; the error of x P is weighted by x. Rounding
    the coefficients moves the ends away from 1 and 0, where every larger x would feel it. c0 is moved by some
    of its last places until they are back, to the place where the largest error is the least.
    """
    x = end * (1 - np.cos(np.linspace(0, np.pi / 2, 1500)))[1:]
    x = np.r_[x, np.linspace(end * 0.001, end * 0.999, 500)]
    u = x * x
    matrix = np.stack([x * (u - end**2) * (u / end**2) ** j for j in range(degree)], axis=1)
    q, unrounded = minimax(matrix, 0.5 * erf(x / np.sqrt(2)) - x * 0.5 / end, x)
    q = q / end ** (2 * np.arange(degree))
    p = np.zeros(degree + 1)
    p[0] = 0.5 / end
    p[1:] += q
    p[:degree] -= end**2 * q

    rounded = p.astype(np.float32)
    inputs = np.linspace(-12, 12, 200_001).astype(np.float32)
    bounded = np.clip(inputs, -np.float32(end), np.float32(end))
    exact = inputs.astype(np.float64)
    exact = exact * 0.5 * (1 + erf(exact / np.sqrt(2)))
    ends = np.array([end, -end], dtype=np.float32)
    best, best_error = None, np.inf
    for places in range(-60, 61):
        moved = [rounded[0] + places * np.spacing(rounded[0]), *rounded[1:]]
        one, zero = half_plus(moved, ends)
        if abs(float(one) - 1) < 1e-7 and abs(float(zero)) < 4e-8:
            error = np.abs((inputs * half_plus(moved, bounded)).astype(np.float64) - exact).max()
            if error < best_error:
                best, best_error = moved, error
    print(f"gelu, |x| < {end}: error {best_error:.3e} for |x| <= 12 (before rounding {unrounded:.3e})")
    print_coefficients(best)


def fit_exp2(degree: int) -> None:
    """p with 2^f = p(f) for |f| <= 1/2 and p(0) = 1, of the least relative error."""
    f = 0.5 * np.cos(np.linspace(0, np.pi, 1001))
    exact = np.exp2(f)
    powers = np.stack([f**j for j in range(1, degree + 1)], axis=1)
    p, unrounded = minimax(powers, exact - 1, 1 / exact)
    rounded = np.r_[1, p].astype(np.float32)
    error = np.abs(np.polynomial.polynomial.polyval(f, rounded.astype(np.float64)) / exact - 1).max()
    print(f"exp2, |f| <= 1/2: relative error {error:.3e} (before rounding {unrounded:.3e})")
    print_coefficients(rounded)


if __name__ == "__main__":
    edge = 0.5 * np.log(2.0) * 1.0001
    fit("exp, r in ±ln2/2", exp_tail, -edge, edge, 4, lambda r: r**2 * mpmath.exp(-r))
    fit("erf, x^2 for |x| < 0.9375", erf_small, 1e-9, 0.9375**2, 5, lambda s: 1 / (1 + erf_small(s)))
    fit("erf, |x| in 0.9375..4", erfc_log, 0.9375, 4.0, 6, lambda t: t * mpmath.erfc(t) / mpmath.erf(t))
    fit("tanh, x^2 for |x| < 0.75", tanh_small, 1e-9, 0.75**2, 5, lambda s: 1 / (1 + tanh_small(s)))
    fit_gelu(4.36, 8)
    fit_exp2(3)
