# SPDX-License-Identifier: Apache-2.0
# ruff: noqa
"""Solutions of 1_quantisation.ipynb: one cell for each exercise. Look here when yours is right."""


# %% quantise
def quantise(x, scale, zero_point):
    q = np.floor(np.asarray(x) / scale + 0.5) + zero_point
    return np.clip(q, -128, 127).astype(np.int8)


checks.quantise(quantise)


# %% range_parameters
def range_parameters(low, high):
    low, high = min(low, 0), max(high, 0)
    scale = (high - low) / 255
    return scale, int(round(-128 - low / scale))


checks.range_parameters(range_parameters)


# %% accumulators
def accumulators(x, w, b, x_zero_point):
    return w.astype(np.int32) @ (x.astype(np.int32) - x_zero_point) + b


checks.accumulators(accumulators)


# %% requantise
def requantise(sums, factor, zero_point):
    q = np.floor(sums * factor + 0.5) + zero_point
    return np.clip(q, -128, 127).astype(np.int8)


checks.requantise(requantise)

# %% clipped_share
low, high = end.real_range
share = np.mean((samples * 8 < low) | (samples * 8 > high))

checks.clipped_share(share, samples, 8, end)
