# SPDX-License-Identifier: Apache-2.0
"""Records by the Python interface."""

from __future__ import annotations

from pathlib import Path

import pytest

import mcutrain
from tests.support.records import files


def test_a_run_is_recorded_proved_and_learned_again(tmp_path: Path) -> None:
    made = files(tmp_path)
    trainer = mcutrain.Trainer(
        mcutrain.plan(made.model, update="last:2"), str(made.data), epochs=1, lr=0.03125,
        guard=False, record=made.record,
    )  # fmt: skip
    trainer.fit().save(made.state)
    told = mcutrain.audit(made.record, str(made.data), state=made.state)
    new, save = tmp_path / "new.jsonl", tmp_path / "new.npz"
    found = mcutrain.unlearn(made.record, str(made.data), "3", save, new_record=new)

    assert told["proves"] and told["steps"] == 16
    assert found["never_saw_them"] and found["without"] == {"train": [3]}
    assert mcutrain.audit(new, str(made.data), state=save)["steps"] == 15
    with pytest.raises(mcutrain.Error, match=r"not proved: .* is not the record's: .*; its chain"):
        mcutrain.audit(made.record, str(made.data), state=save)
    with pytest.raises(mcutrain.Error, match="numbers of 1 or more"):
        mcutrain.blame(made.record, str(made.data), worst=0)
