# SPDX-License-Identifier: Apache-2.0
"""What the host must know of a build (SPEC section 3): tensors, calls, sizes, hashes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mcutrain.codegen.emit import KERNEL_ABI
from mcutrain.codegen.program import Program
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.options import Effect
from mcutrain.trainer.variants import beyond

MANIFEST_VERSION = 1


def manifest(program: Program, build_hash: bytes) -> dict[str, Any]:
    """The JSON document beside the generated C."""
    plan = program.plan
    chain = [plan.learning.chain] if plan.learning.chain else []
    placed = [t for t in (*plan.graph.tensors, *chain) if plan.memory.place(t) is not None]
    return {
        "manifest": MANIFEST_VERSION,
        "name": plan.name,
        "scheme": plan.scheme.name,
        "formats": asdict(plan.formats),
        "options": plan.formats.within(plan.options).to_json(Effect.LEARNING, Effect.MEMORY),
        "chip": {"name": plan.chip.name, "features": sorted(plan.chip.features)},
        "left_out": beyond(plan.chip.features),
        "kernel_abi": KERNEL_ABI,
        "numerics_hash": plan.numerics_hash.hex(),
        "build_hash": build_hash.hex(),
        "classes": plan.classes,
        "class_names": list(plan.options.class_names),
        "input": plan.task.input.name,
        "logits": plan.task.logits.name,
        "latent": plan.latents.tensor.name if plan.latents.tensor else None,
        "prefix_calls": program.prefix_calls,
        "first_call": program.first_call,
        "latent_slots": plan.options.latent_slots,
        "flash_latents": plan.flash_latents,
        "ahead_bytes": plan.ahead_bytes,
        "chain": plan.learning.chain.name if plan.learning.chain else None,
        "record_entries": plan.options.record_entries,
        "loss": plan.task.loss.name,
        "arena_bytes": plan.memory.arena_bytes,
        "state_bytes": plan.memory.state_bytes,
        "regions": [{"name": n, "bytes": size} for n, size in plan.memory.regions.items()],
        "constant_bytes": program.constant_bytes,
        "digest": [t.name for t in plan.digested],
        "tensors": [describe(program, t) for t in placed],
        "calls": [
            {
                "node": call.node.name,
                "operator": call.node.index,
                "kernel": call.kernels,
                "outputs": [t.name for t in call.node.outputs],
                "macs": call.node.op.macs(call.node),
            }
            for call in program.calls
        ],
    }


def describe(program: Program, tensor: Tensor) -> dict[str, Any]:
    where = program.plan.memory.place(tensor)
    assert where is not None
    quant = tensor.type.quant
    described: dict[str, Any] = {
        "name": tensor.name,
        "label": tensor.label,
        "role": tensor.role.name,
        "dtype": tensor.type.dtype.value,
        "shape": list(tensor.type.shape),
        "region": where[0],
        "offset": where[1],
    }
    if quant is not None:
        described |= {"scales": list(quant.scales), "zero_point": quant.zero_point}
    kept = [call.region.kept[tensor] for call in program.regions if tensor is call.region.arriving]
    if kept:
        described["rows"] = kept[0]
    beside = program.plan.learning.companions.beside(tensor).items()
    return described | {kind.name: companion.name for kind, companion in beside}
