# SPDX-License-Identifier: Apache-2.0
"""The tables of SPEC.md say what the code says; the documents hang together."""

from __future__ import annotations

import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mcutrain.codegen.manifest import manifest
from mcutrain.codegen.program import lay_out
from mcutrain.host.link import protocol
from mcutrain.host.link.frame import Frame, encode
from mcutrain.host.link.protocol import Message, Status
from mcutrain.trainer import fixedpoint
from mcutrain.trainer.graph.tensor import Role, Tensor
from mcutrain.trainer.ops.error import E8, E12
from mcutrain.trainer.ops.sgd import FRACTION, INPUT_SHIFT
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support import conformance
from tests.support.headers import constants
from tests.support.native import FIRMWARE, WARNINGS
from tests.support.paths import ROOT

SPEC = (ROOT / "SPEC.md").read_text(encoding="utf-8")
ADRS = sorted((ROOT / "docs" / "adr").glob("*.md"))
DOCUMENTS = [
    *(ROOT / f"{name}.md" for name in ("SPEC", "DESIGN", "CONTRIBUTING", "CHANGELOG")),
    ROOT / "docs" / "glossary.md",
    *ADRS,
]
FIELD_BYTES = {"u8": 1, "u16": 2, "u32": 4, "8 bytes": 8, "12 bytes": 12, "16 bytes": 16}


def table(first: str, text: str = SPEC) -> list[list[str]]:
    """Cells of the table whose header begins with ``first``, without backticks around them."""
    lines = text.split(f"| {first} |", 1)[1].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells = re.split(r"(?<!\\)\|", line)[1:-1]
        rows.append([cell.strip() for cell in cells])
    assert rows
    return rows


def plain(cell: str) -> str:
    return cell.strip("`")


def number(cell: str) -> float:
    """The value of a cell that holds an expression of numbers."""
    return eval(plain(cell), {"__builtins__": {}})


def field_bytes(cell: str) -> int:
    """Bytes of a payload's fixed fields; ``data`` at its end has none.

    >>> field_bytes("label u32, flags u8"), field_bytes("offset u32, data"), field_bytes("-")
    (5, 4, 0)
    """
    fields = [field for field in cell.split(", ") if field not in ("-", "data")]
    sizes = [next(b for t, b in FIELD_BYTES.items() if field.endswith(f" {t}")) for field in fields]
    return sum(sizes)


def test_status_codes_are_those_of_both_ends() -> None:
    codes = {name: int(code) for code, name, _ in table("Code")}

    assert codes == {status.name: status.value for status in Status}
    del codes["OK"]
    assert codes == constants("status.h", "MCT_ERR_")


def test_messages_have_the_ids_of_both_ends() -> None:
    ids = {name: int(id_) for id_, name, *_ in table("Id")}

    assert ids == {message.name: message.value for message in Message}
    assert {**ids, "REPLY": 0x80} == constants("protocol.h", "MCT_MSG_")
    assert protocol.REPLY == 0x80


def test_messages_have_the_payload_sizes_of_both_ends() -> None:
    rows = table("Id")
    requests = {name: field_bytes(request) for _, name, request, _, _ in rows}
    replies = {name: n for _, name, _, reply, _ in rows if (n := field_bytes(reply))}

    assert requests == {m.name: layout.size for m, layout in protocol.REQUESTS.items()}
    assert replies == {m.name: layout.size for m, layout in protocol.REPLIES.items()}
    in_c = constants("protocol.h", "MCT_REQUEST_"), constants("protocol.h", "MCT_REPLY_")
    assert in_c == tuple({f"{k}_BYTES": n for k, n in d.items()} for d in (requests, replies))


def test_the_frame_is_what_the_host_sends() -> None:
    ((_, wire),) = table("Frame")

    assert encode(Frame(Message.HELLO, 1)) == bytes.fromhex(plain(wire))


@pytest.mark.rows
@pytest.mark.parametrize("row", [row for row in table("Constant") if row[2]], ids=lambda r: r[0])
def test_constants_are_those_of_the_reference(row: list[str]) -> None:
    _, value, python, _ = row
    module, _, name = plain(python).rpartition(".")
    actual = getattr(importlib.import_module(f"mcutrain.{module}"), name)
    wanted = number(value)

    # Scales are stored as float32 in models, so the nearest float32 is the constant.
    assert actual == wanted or actual == float(np.float32(wanted))


def test_the_bounds_of_the_error_formats_are_those_of_the_reference() -> None:
    for name, of_e12, of_e8, field in table("Bound"):
        found = [getattr(format_, plain(field)) for format_ in (E12, E8)]

        assert found == [number(of_e12), number(of_e8)], name


def test_constants_are_those_of_the_firmware(tmp_path: Path) -> None:
    rows = [
        (row[0], row[1], re.findall(r"`([^`]+)`", row[3])) for row in table("Constant") if row[3]
    ]
    lines = [f'#include "{header}"' for _, _, (header, _) in rows]
    lines += [
        f'_Static_assert({symbol} == {int(number(value))}, "{name}");'
        for name, value, (_, symbol) in rows
    ]

    check_c(tmp_path, "\n".join([*lines, "int main(void) { return 0; }"]))


def test_examples_hold_in_the_reference() -> None:
    for expression, value in table("Expression"):
        name, arguments = call(expression)
        assert evaluate(name, arguments) == int(number(value)), expression


def test_examples_hold_in_the_firmware(tmp_path: Path) -> None:
    lines = ['#include "mct/fixedpoint.h"', "int main(void)", "{", "    int failed = 0;"]
    for expression, value in table("Expression"):
        name, arguments = call(expression)
        cast = "(int64_t)(uint32_t)" if name == "seed_op" else "(int64_t)"
        args = ", ".join(c_literal(a) for a in arguments)
        lines.append(f"    failed += {cast}mct_{name}({args}) != {int(number(value))}LL;")
    program = check_c(tmp_path, "\n".join([*lines, "    return failed;", "}"]))

    assert subprocess.run([program], check=False).returncode == 0


def call(expression: str) -> tuple[str, list[int]]:
    """
    >>> call("`near(-3, 1)`")
    ('near', [-3, 1])
    """
    name, arguments = plain(expression).rstrip(")").split("(")
    return name, [int(a) for a in arguments.split(",")]


def evaluate(name: str, arguments: list[int]) -> int:
    function = getattr(fixedpoint, name)
    if name == "seed_op":
        return int(function(*arguments))
    if name == "stochastic_round":
        v, shift, r = arguments
        return int(function(np.array([v]), np.array([shift]), np.array([r], np.uint32))[0])
    return int(function(np.int64(arguments[0]), *arguments[1:]))


def c_literal(value: int) -> str:
    if value == -(2**31):
        return "INT32_MIN"
    return f"{value}u" if value > 2**31 - 1 else str(value)


def check_c(folder: Path, text: str) -> Path:
    """Compiles ``text`` against the firmware's headers with its warnings; the program's path."""
    source, program = folder / "spec.c", folder / "spec"
    source.write_text(text, encoding="utf-8")
    command = ["gcc", *WARNINGS, f"-I{FIRMWARE}", str(source), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    return make_plan(conformance.model(), PlanOptions("full"))


def test_the_manifest_has_the_keys_of_the_specification(plan: TrainingPlan) -> None:
    document = manifest(lay_out(plan), bytes(8))
    optional = {"scales", "zero_point", "fraction", "sum", "input_shift", "rows"}
    tensor_keys = {plain(key) for key, _ in table("Key of a tensor")}

    assert list(document) == [plain(key) for key, _ in table("Key")]
    assert document["options"]["precondition"] == "inputs"  # what auto stands for
    assert all(tensor_keys - optional <= set(t) <= tensor_keys for t in document["tensors"])
    assert set().union(*document["tensors"]) == tensor_keys - {"rows", "sum"}
    call_keys = [plain(key) for key, _ in table("Key of a call")]
    assert all(list(c) == call_keys for c in document["calls"])


def test_the_state_lies_as_specified(plan: TrainingPlan) -> None:
    def operator(tensor: Tensor) -> int:
        return next(node.index for node in plan.forward if tensor in node.inputs)

    weights = sorted(plan.learning.companions.of(FRACTION), key=operator)
    pairs = [t for w in weights for t in (w, plan.learning.companions.of(FRACTION)[w])]
    learned = {t for node in plan.forward for t in node.inputs if t.role is Role.PARAM}
    biases = sorted(learned - set(weights), key=operator)
    shifts = [plan.learning.companions.of(INPUT_SHIFT)[w] for w in weights]
    expected = [*pairs, *biases, *shifts, *plan.learning.histories, plan.learning.sgd]

    assert list(plan.memory.state) == expected
    end = 0
    for tensor, offset in plan.memory.state.items():
        assert offset == end
        end = offset + -(-tensor.type.nbytes // 4) * 4
    assert plan.memory.state_bytes == end
    assert [t.name for t in plan.learning.histories] == list(conformance.HISTORIES.values())


def test_the_files_that_a_build_hash_covers_are_as_specified() -> None:
    build = (ROOT / "host" / "building" / "source.py").read_text(encoding="utf-8")
    (suffixes,) = re.findall(r"path\.suffix in \((.*?)\)", build)

    named = re.search(r"content of each (.*?) file below\s+`firmware/`", SPEC, re.S)
    assert named is not None
    assert set(re.findall(r"\.\w+", named[1])) == set(re.findall(r"\.\w+", suffixes))


def links() -> Iterator[tuple[Path, str]]:
    for document in DOCUMENTS:
        text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if not target.startswith("http"):
                yield document, target


def test_links_between_documents_lead_somewhere() -> None:
    broken = [f"{d.name}: {t}" for d, t in links() if not (d.parent / t).exists()]

    assert not broken


def test_decision_records_are_numbered_without_gaps_and_have_one_form() -> None:
    assert [int(path.name[:4]) for path in ADRS] == list(range(1, len(ADRS) + 1))
    for path in ADRS:
        text = path.read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.*)$", text, re.M)
        assert headings[0].startswith(path.name[:4]), path.name
        assert headings[1:] == ["Context", "Choice", "Price"], path.name
        assert "\nStatus: " in text, path.name


def test_every_decision_record_is_named_in_the_design() -> None:
    design = (ROOT / "DESIGN.md").read_text(encoding="utf-8")

    assert [path.name for path in ADRS if f"docs/adr/{path.name}" not in design] == []


def test_glossary_terms_are_sorted_and_have_a_source() -> None:
    rows = table("Term", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))
    terms = [plain(row[0]).lower() for row in rows]

    assert terms == sorted(terms)
    assert len(set(terms)) == len(terms)
    assert all(len(row) == 3 and all(row) for row in rows)


def test_what_is_cited_is_this_version() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (version,) = re.findall(r'^version = "(.*)"$', pyproject, re.M)

    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version = {{{version}}}" in (ROOT / "docs" / "teams.md").read_text(encoding="utf-8")
