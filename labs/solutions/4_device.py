# SPDX-License-Identifier: Apache-2.0
# ruff: noqa
"""Solutions of 4_device.ipynb: one cell for each exercise. Look here when yours is right."""


# %% digest
def digest(parts):
    import zlib

    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc


checks.digest(digest)


# %% located
def located(device, reference):
    for name in device:
        different = np.flatnonzero(device[name] != reference[name])
        if len(different):
            return name, int(different[0])
    return ()


checks.located(located)

# %% tampered
name = next(name for name in before if not np.array_equal(before[name], after[name]))

checks.tampered(name, before, after)
