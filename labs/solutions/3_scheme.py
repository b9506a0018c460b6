# SPDX-License-Identifier: Apache-2.0
# ruff: noqa
"""Solutions of 3_scheme.ipynb: one cell for each exercise. Look here when yours is right."""


# %% front
def front(points):
    def beats(q, p):
        return q != p and q[0] <= p[0] and q[1] >= p[1]

    return [i for i, p in enumerate(points) if not any(beats(q, p) for q in points)]


checks.front(front)


# %% gain_per_byte
def gain_per_byte(accuracy, base, ram, base_ram):
    return 100 * (accuracy - base) / ((ram - base_ram) / 1024)


checks.gain_per_byte(gain_per_byte)

# %% fits_the_budget
update = "last:2"

checks.fits_the_budget(update, model, data, 4_500, 0.7)
