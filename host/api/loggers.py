# SPDX-License-Identifier: Apache-2.0
"""Callbacks that write down how a training goes."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mcutrain.host.api.callbacks import Callback
from mcutrain.host.api.errors import raises_errors
from mcutrain.host.api.progress import Epoch, Step
from mcutrain.host.api.run import Run
from mcutrain.host.extras import require_extra
from mcutrain.trainer.errors import Error


class CsvLogger(Callback):
    """Writes a row for each step and each epoch, and one for each metric of the test samples.

    The columns are ``kind`` (step, epoch, before or after), ``step``, ``epoch``, ``loss``, ``rate``
    and ``metric``; what a kind does not have is empty. An epoch's row is on disk when it has ended.
    """

    COLUMNS = ("kind", "step", "epoch", "loss", "rate", "metric")

    @raises_errors
    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Begin the file, in place of what was there.

        Args:
            path: The file to write.

        Raises:
            Error: It cannot be written.
        """
        self._file: IO[str] = open(path, "w", newline="", encoding="utf-8")  # noqa: SIM115
        self._write = csv.writer(self._file).writerow
        self._write(self.COLUMNS)

    def on_step(self, step: Step) -> None:
        self._write(("step", step.number, step.epoch, step.loss, step.rate, ""))

    def on_epoch(self, epoch: Epoch) -> None:
        metric = "" if epoch.metric is None else epoch.metric
        self._write(("epoch", epoch.step, epoch.number, epoch.loss, "", metric))
        self._file.flush()

    def on_end(self, run: Run) -> None:
        for kind, step, value in (("before", 0, run.before), ("after", run.steps, run.after)):
            if value is not None:
                self._write((kind, step, "", "", "", value))

    def close(self) -> None:
        self._file.close()


class TensorBoardLogger(Callback):
    """Writes the event files that TensorBoard shows, with the package tensorboardX.

    The scalars are ``loss``, ``rate``, ``epoch/loss``, ``epoch/metric`` of the validation samples,
    and ``test/METRIC`` of the test samples at step 0 and at the end.
    """

    @raises_errors
    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Begin a run of TensorBoard.

        Args:
            folder: Where its event file goes.

        Raises:
            Error: tensorboardX is not installed, or the folder cannot be written.
        """
        require_extra("loggers", "tensorboardX")
        from tensorboardX import SummaryWriter  # type: ignore[import-untyped]

        self._writer: Any = SummaryWriter(str(folder), write_to_disk=True)

    def on_step(self, step: Step) -> None:
        self._writer.add_scalar("loss", step.loss, step.number)
        self._writer.add_scalar("rate", step.rate, step.number)

    def on_epoch(self, epoch: Epoch) -> None:
        self._writer.add_scalar("epoch/loss", epoch.loss, epoch.step)
        if epoch.metric is not None:
            self._writer.add_scalar("epoch/metric", epoch.metric, epoch.step)

    def on_end(self, run: Run) -> None:
        for step, value in ((0, run.before), (run.steps, run.after)):
            if value is not None:
                self._writer.add_scalar(f"test/{run.metric}", value, step)

    def close(self) -> None:
        self._writer.close()


class MlflowLogger(Callback):
    """Writes a run of MLflow, by default into a local folder, with the package mlflow-skinny.

    Parameters are what the plan and the training were asked for; metrics are ``loss`` and ``rate``
    of each step, ``epoch_loss`` and ``epoch_metric`` of each epoch, and ``test_METRIC``.
    """

    @raises_errors
    def __init__(
        self, where: str | os.PathLike[str] = "mlruns", experiment: str = "mcutrain"
    ) -> None:
        """Begin a run of MLflow.

        Args:
            where: A folder for MLflow's files, or the address of a tracking server or a database,
                such as ``"sqlite:///runs.db"``.
            experiment: The experiment that the run belongs to.

        Raises:
            Error: mlflow-skinny is not installed, or ``where`` cannot be used.
        """
        require_extra("loggers", "mlflow")
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        text = os.fspath(where)
        uri = text if "://" in text else Path(text).resolve().as_uri()
        try:
            with file_store_allowed():
                self._client: Any = MlflowClient(tracking_uri=uri)
                known = self._client.get_experiment_by_name(experiment)
                number = (
                    known.experiment_id if known else self._client.create_experiment(experiment)
                )
                self._run = self._client.create_run(number).info.run_id
        except (MlflowException, ImportError) as error:
            raise Error(f"MLflow cannot use {text}: {error}") from error
        self._status = "FAILED"

    def on_step(self, step: Step) -> None:
        self._log(step.number, loss=step.loss, rate=step.rate)

    def on_epoch(self, epoch: Epoch) -> None:
        self._log(epoch.step, epoch_loss=epoch.loss)
        if epoch.metric is not None:
            self._log(epoch.step, epoch_metric=epoch.metric)

    def on_end(self, run: Run) -> None:
        for step, value in ((0, run.before), (run.steps, run.after)):
            if value is not None:
                self._log(step, **{f"test_{run.metric}": value})
        plan, job = run.outcome.plan, run.outcome.job
        asked: dict[str, Any] = {
            "model": plan.name,
            "update": plan.scheme.name,
            "target": run.target,
            "seed": run.outcome.result.seed,
            "rate": run.rate,
            "epochs": job.options.epochs,
            "numerics_hash": plan.numerics_hash.hex(),
        }
        for name, value in asked.items():
            self._client.log_param(self._run, name, value)
        self._status = "KILLED" if run.interrupted else "FINISHED"

    def close(self) -> None:
        self._client.set_terminated(self._run, self._status)

    def _log(self, step: int, **metrics: float) -> None:
        for name, value in metrics.items():
            self._client.log_metric(self._run, name, value, step=step)


@contextmanager
def file_store_allowed() -> Iterator[None]:
    """In here MLflow takes a folder. From its version 3 on it does so only if it is told to."""
    name = "MLFLOW_ALLOW_FILE_STORE"
    former = os.environ.get(name)
    os.environ[name] = "true"
    try:
        yield
    finally:
        if former is None:
            del os.environ[name]
        else:
            os.environ[name] = former
