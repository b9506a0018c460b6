# SPDX-License-Identifier: Apache-2.0
"""Loggers write what others read: csv, TensorBoard's event files, and MLflow."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

import mcutrain
from mcutrain.host import extras
from mcutrain.host.api import loggers
from tests.support.guarded import samples, with_validation, write

RATE = 2**-6


def fitted(model: Path, folder: Path, *callbacks: mcutrain.Callback) -> mcutrain.Run:
    data = write(folder / "v.npz", with_validation(samples(4)))
    plan = mcutrain.plan(model, "head")
    return mcutrain.Trainer(
        plan, data, lr=RATE, schedule="step", epochs=2, callbacks=callbacks
    ).fit()


def test_csv(model: Path, tmp_path: Path) -> None:
    run = fitted(model, tmp_path, mcutrain.loggers.CsvLogger(tmp_path / "log.csv"))
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    by_kind: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_kind.setdefault(row["kind"], []).append(row)

    assert [float(row["loss"]) for row in by_kind["step"]] == run.losses
    assert [float(row["metric"]) for row in by_kind["epoch"]] == run.accuracies
    assert float(by_kind["before"][0]["metric"]) == run.before
    assert float(by_kind["after"][0]["metric"]) == run.after
    assert int(by_kind["after"][0]["step"]) == run.steps


def test_tensorboard(model: Path, tmp_path: Path) -> None:
    """Read back by the package's own protocol buffers."""
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    run = fitted(model, tmp_path, mcutrain.loggers.TensorBoardLogger(tmp_path / "tb"))
    found: dict[str, list[tuple[int, float]]] = {}
    for data in records(next((tmp_path / "tb").iterdir()).read_bytes()):
        event = Event.FromString(data)
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))

    assert found["loss"] == [(k, pytest.approx(v)) for k, v in enumerate(run.losses, 1)]
    assert [v for _, v in found["epoch/metric"]] == [pytest.approx(v) for v in run.accuracies]
    assert found["test/accuracy"] == [
        (0, pytest.approx(run.before)), (run.steps, pytest.approx(run.after)),
    ]  # fmt: skip
    assert {value for _, value in found["rate"]} == {RATE, RATE / 4}


def records(raw: bytes) -> list[bytes]:
    """The records of an event file: length, its checksum, data, their checksum."""
    found, at = [], 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 8], "little")
        found.append(raw[at + 12 : at + 12 + size])
        at += size + 16
    return found


@pytest.mark.slow
@pytest.mark.exhaustive  # importing MLflow takes seconds
def test_mlflow(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    run = fitted(model, tmp_path, mcutrain.loggers.MlflowLogger(tmp_path / "runs"))
    with loggers.file_store_allowed():
        client: Any = MlflowClient(tracking_uri=(tmp_path / "runs").as_uri())
    experiment = client.get_experiment_by_name("mcutrain")
    (found,) = client.search_runs([experiment.experiment_id])
    losses = client.get_metric_history(found.info.run_id, "loss")

    assert found.info.status == "FINISHED"
    assert [m.value for m in sorted(losses, key=lambda m: m.step)] == run.losses
    assert found.data.metrics["test_accuracy"] == run.after
    assert found.data.params["update"] == "head" and found.data.params["model"] == "small"
    with pytest.raises(mcutrain.Error, match="MLflow cannot use nonsense://x"):
        mcutrain.loggers.MlflowLogger("nonsense://x")


@pytest.mark.parametrize("make", [loggers.TensorBoardLogger, loggers.MlflowLogger])
def test_a_missing_package_is_named(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "is_there", lambda module: False)
    with pytest.raises(mcutrain.Error, match=r"is not installed; run: pip install 'mcutrain\[logg"):
        make(tmp_path)


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(mcutrain.Error, match="give a file, where there is a folder"):
        mcutrain.loggers.CsvLogger(tmp_path)
