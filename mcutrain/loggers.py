# SPDX-License-Identifier: Apache-2.0
"""Callbacks that write down how a training goes: as CSV, for TensorBoard, or for MLflow."""

from mcutrain.host.api.loggers import CsvLogger, MlflowLogger, TensorBoardLogger

__all__ = ["CsvLogger", "MlflowLogger", "TensorBoardLogger"]
