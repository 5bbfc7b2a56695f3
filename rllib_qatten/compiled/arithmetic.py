"""What compiled functions share: the exponential function, sums, products of a layer."""

import numpy as np

from rllib_qatten.compiled.compiler import formula, inlined

ZERO, HALF, ONE, TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
#: 2^n e^f with |f| < log(2) / 2; the polynomial and the split of log(2) are those of Cephes' expf.
LOW, HIGH, LOG2_E = np.float32(-87), np.float32(87), np.float32(1.4426950408889634)
LOG2_A, LOG2_B = np.float32(0.693359375), np.float32(-2.12194440e-4)
P0, P1, P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
P3, P4, P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
BIAS, SHIFT = np.int32(127), np.int32(23)
FEW = 32
#: Types of arguments: float32 arrays of one to three axes, and others.
F1, F2, F3 = "float32[::1]", "float32[:,::1]", "float32[:,:,::1]"
I1, I2, I3 = "int64[::1]", "int64[:,::1]", "int64[:,:,::1]"
B1, B2, B3 = "boolean[::1]", "boolean[:,::1]", "boolean[:,:,::1]"


@formula
def exp(x):
    """e^x in a form that the compiler makes vectors of; NaN stays NaN."""
    y = LOW if x < LOW else x
    y = HIGH if y > HIGH else y
    n = np.floor(y * LOG2_E + HALF)
    f = y - n * LOG2_A - n * LOG2_B
    p = ((((P0 * f + P1) * f + P2) * f + P3) * f + P4) * f + P5
    power = np.int32((np.int32(n) + BIAS) << SHIFT).view(np.float32)
    return (p * f * f + f + ONE) * power


@formula
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return ONE / (ONE + exp(-x))


@inlined
def add(total, part):
    """Total += part, [J, K]."""
    for j in range(total.shape[0]):
        for k in range(total.shape[1]):
            total[j, k] += part[j, k]


@inlined
def add_rows(total, rows):
    """Total [K] += the sum of rows [M, K], by a few rows at a time: sums of sums round less."""
    part = np.empty(total.shape[0], np.float32)
    for begin in range(0, rows.shape[0], FEW):
        part[:] = ZERO
        for i in range(begin, min(begin + FEW, rows.shape[0])):
            row = rows[i]
            for k in range(part.shape[0]):
                part[k] += row[k]
        for k in range(part.shape[0]):
            total[k] += part[k]


@inlined
def copy(source, target):
    """Copies a row [K] to the front of another."""
    for j in range(source.shape[0]):
        target[j] = source[j]


@inlined
def is_seen(row, start, stop):
    """Whether numbers start to stop of a row, a unit's, are not all zeros; mostly the first is not.

    By places: a view of the row would take twice as long.
    """
    if start < stop and row[start] != ZERO:
        return True
    seen = False
    for j in range(start + 1, stop):
        seen |= row[j] != ZERO
    return seen


@inlined
def transposed(weight):
    """A copy of weight [h, I] as [I, h]: small products with it are faster than with a view."""
    result = np.empty((weight.shape[1], weight.shape[0]), np.float32)
    for j in range(weight.shape[1]):
        for k in range(weight.shape[0]):
            result[j, k] = weight[k, j]
    return result
