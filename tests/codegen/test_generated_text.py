# SPDX-License-Identifier: Apache-2.0
"""The text of the generated C: lines that a screen shows, names of its own, nothing twice."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from mcutrain.codegen.c import WIDTH, filled
from mcutrain.codegen.emit import emit_source
from mcutrain.codegen.header import FUNCTIONS, emit_header, emit_selection
from mcutrain.codegen.program import lay_out
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.generated import REAL, SMALL, real, small
from tests.support.native import FIRMWARE, WARNINGS, write_sources
from tests.support.paths import models_folder
from tests.tools.make_golden import tiny_model

API = (FIRMWARE / "mct" / "model_api.h").read_text()


def check_text(plan: TrainingPlan) -> None:
    image = lay_out(plan)
    texts = (emit_source(image), emit_header(image), emit_selection(plan, bytes(range(248, 256))))
    for line in "\n".join(texts).splitlines():
        assert len(line) <= WIDTH, line
        assert line == line.rstrip(), repr(line)
    checks = re.findall(r"_Static_assert\(sizeof\((\w+)\)", texts[0])

    assert checks, "no struct is checked"
    assert max(Counter(checks).values()) == 1
    assert set(checks) == {f"mct_{params.struct}_params" for params in image.params.values()}


@pytest.mark.parametrize("kind", SMALL)
def test_lines_fit_and_each_struct_is_checked_once(kind: str) -> None:
    check_text(SMALL[kind]())


@pytest.mark.parametrize("name", REAL)
def test_lines_of_real_models_fit_too(name: str) -> None:
    folder = models_folder()
    if folder is None:
        pytest.skip("no real models: set MCUTRAIN_MODELS to their folder")
    check_text(real(name, folder))


def test_the_small_models_print_every_kind_of_code() -> None:
    """What the tests above are worth."""
    printed = "\n".join(emit_source(lay_out(make())) for make in SMALL.values())
    body = "".join(
        (FIRMWARE / "mct" / f"model_{part}.h").read_text()
        for part in ("body", "chain", "enrol", "latents")
    )
    told = set(re.findall(r"^#define (MCT_API\w*)", printed, re.MULTILINE))
    ended = set(re.findall(r"^#undef (MCT_API\w*)", body, re.MULTILINE))
    own = set(re.findall(r"^#define (MCT_API\w*)", body, re.MULTILINE))

    assert told == ended - own
    for kind in (
        "_row(int32_t y)",
        "A region;",
        "*const[]){",
        "mct_channels group",
        "MCT_MEMORY(",
        "_anew",
    ):
        assert kind in printed, kind


@pytest.mark.parametrize("lengths", [(1, 1), (40, 40, 40), (86, 1, 1), (87, 3), (84, 1, 86)])
@pytest.mark.parametrize("depth", [0, 2])
def test_arguments_fill_lines_and_keep_their_order(lengths: tuple[int, ...], depth: int) -> None:
    items = [chr(97 + k) * size for k, size in enumerate(lengths)]
    lines = list(filled("f(", items, ");", depth))
    room = WIDTH - 4 * depth

    assert " ".join(line.strip() for line in lines).replace("( ", "(") == f"f({', '.join(items)});"
    assert max(map(len, lines)) <= room
    for line, following in pairwise(lines):
        first = following.split()[0]
        assert line == "f(" or len(f"{line} {first}") > room  # no line ends early
        assert following.startswith("    " if lines[0] == "f(" else "  ")


def test_every_name_of_a_file_carries_the_models_name(tmp_path: Path) -> None:
    for kind in ("full", "stream-flash", "ahead-mse", "spare-latents", "memories"):
        source = write_sources(SMALL[kind](), tmp_path)
        flags = ["-std=c11", "-O0", "-fkeep-static-consts", f"-I{FIRMWARE}", f"-I{tmp_path}"]
        out = tmp_path / "small.o"
        subprocess.run(["gcc", *flags, "-c", str(source), "-o", str(out)], check=True)
        command = ["nm", "--defined-only", str(out)]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        names = {line.split()[-1] for line in listed.splitlines()}

        assert "small_ram_sgd" in names  # those of constants are there
        assert not {name for name in names if not name.startswith(("small_", "mct_"))}


@pytest.mark.parametrize("kind", ["full", "stream-flash", "ahead-mse", "ahead-latent", "spare"])
def test_no_macro_outlives_the_file(kind: str, tmp_path: Path) -> None:
    source = write_sources(SMALL[kind](), tmp_path)
    command = ["gcc", "-E", "-dM", f"-I{FIRMWARE}", f"-I{tmp_path}", str(source)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "#define SMALL_H" in listed
    assert "MCT_API" not in listed


def test_all_kinds_of_models_compile_in_one_unit(tmp_path: Path) -> None:
    """Whatever one of them leaves behind would meet the others."""
    unit = tmp_path / "unit.c"
    lines = []
    for k, make in enumerate(SMALL.values()):
        plan = replace(make(), name=f"model{k}")
        lines.append(f'#include "{write_sources(plan, tmp_path).name}"\n')
    unit.write_text("".join(lines))
    command = ["gcc", *WARNINGS, "-O1", f"-I{FIRMWARE}", f"-I{tmp_path}", "-c", str(unit)]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "unit.o")], capture_output=True, text=True, check=False
    )

    assert len(lines) > 15
    assert (done.returncode, done.stderr) == (0, "")


def test_tensors_may_be_called_as_the_functions_are(tmp_path: Path) -> None:
    plan = make_plan(tiny_model(), PlanOptions("full"))
    for tensor, (name, _, _) in zip(plan.graph.tensors, FUNCTIONS, strict=False):
        tensor.name = name
    source = write_sources(plan, tmp_path)
    command = ["gcc", *WARNINGS, "-O1", f"-I{FIRMWARE}", f"-I{tmp_path}", "-c", str(source)]
    subprocess.run([*command, "-o", str(tmp_path / "tiny.o")], check=True)

    assert "tiny_ram_step" in source.read_text()


def test_the_overview_lists_what_the_header_declares() -> None:
    declared = re.findall(r"MCT_API\((\w+)\)\((.*?)\);", API)
    arguments = [
        (name, [part.split()[-1].lstrip("*") for part in args.split(",") if part != "void"])
        for name, args in declared
    ]
    listed = [(name, [a.strip(" &") for a in args.split(",") if a]) for name, args, _ in FUNCTIONS]
    header = emit_header(lay_out(small()))

    assert listed == arguments
    assert all(f" small_{name}({args})" in header for name, args, _ in FUNCTIONS)


def test_each_function_is_described_above_its_declaration() -> None:
    """But for what follows another in one group, which the comment above names."""
    undescribed = []
    for group in re.split(r"\n\n", API):
        names = re.findall(r"MCT_API\((\w+)\)\(", group)
        comment = group[: group.rfind("*/")]
        undescribed += [
            n for n in names if len(names) > 1 and f"NAME_{n.split('_from')[0]}" not in comment
        ]
        assert not names or comment.startswith("/* "), names

    assert undescribed == []
