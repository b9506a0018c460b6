# SPDX-License-Identifier: Apache-2.0
"""The process that runs tflite-micro, and that a file may end: host/checking/micro.py starts it.

It is sent a file, how many inputs that has, and the tensors that are wanted, and answers with zeros
of the shape and type of each input. Then it answers each sample with the wanted tensors, until its
input ends. What tflite-micro refuses is said on standard error.
"""

from __future__ import annotations

import os
import sys
from typing import IO, Any

import numpy as np
from tflite_micro.python.tflite_micro import runtime

from mcutrain.host.checking.pieces import REFUSED, receive, send
from mcutrain.trainer.graph.tensor import Array

ARENA_BYTES = 16 << 20
NETWORK = 0  # the subgraph


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    data, inputs, wanted = receive(requests)
    interpreter = runtime.Interpreter.from_bytes(
        data.tobytes(),
        intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors,
        arena_size=ARENA_BYTES,
    )
    details = [interpreter.get_input_details(k) for k in range(int(inputs))]
    send(answers, [np.zeros(each["shape"], each["dtype"]) for each in details])
    while True:
        try:
            samples = receive(requests)
        except EOFError:
            return
        send(answers, run(interpreter, samples, wanted.tolist()))


def run(interpreter: Any, samples: list[Array], wanted: list[int]) -> list[Array]:
    for number, sample in enumerate(samples):
        interpreter.set_input(sample, number)
    interpreter.invoke()
    return [np.asarray(interpreter.GetTensor(t, NETWORK)["tensor_data"]) for t in wanted]


def main() -> int:
    # What tflite-micro prints must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        serve(sys.stdin.buffer, answers)
    except (BrokenPipeError, EOFError):
        raise
    except Exception as err:  # of a damaged file it may be any
        print(str(err) or type(err).__name__, file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
