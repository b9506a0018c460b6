# SPDX-License-Identifier: Apache-2.0
"""A folder that ``generate`` wrote: what is in it, that it compiles, and what it never does."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mcutrain.codegen.copies import version_of
from mcutrain.host.building import folder as folders
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import Run
from tests.support.folders import (
    compiled,
    program,
    refused,
    renamed,
    said,
    small_plan,
    sources,
    written,
)
from tests.support.paths import FIRMWARE

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> TrainingPlan:
    return small_plan(tmp_path_factory.mktemp("model"), "small")


@pytest.fixture(scope="module")
def gen(plan: TrainingPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose path no shell and no build system likes."""
    return written(tmp_path_factory.mktemp("my folder, 1") / "gen", plan, has_link=True)


@pytest.fixture(scope="module")
def objects(gen: Path) -> Path:
    """What the literal command makes of it, where nothing else is installed."""
    subprocess.run(["sh", "-c", "cc -I. -c $(find . -name '*.c')"], cwd=gen, check=True)
    made = gen.parent / "objects"
    made.mkdir()
    for path in gen.glob("*.o"):
        path.rename(made / path.name)
    return made


def test_each_source_compiles_with_no_include_path(gen: Path, objects: Path) -> None:
    assert len(sources(gen)) == len({*objects.iterdir()}) > 10


def test_it_learns_as_the_reference(
    gen: Path, objects: Path, plan: TrainingPlan, tmp_path: Path
) -> None:
    (tmp_path / "main.c").write_text(program(plan))
    own = [path for path in objects.iterdir() if path.name not in ("session.o", "link.o")]
    said(["gcc"], f"-I{gen / 'src'}", tmp_path / "main.c", *own, "-o", tmp_path / "program")

    said([str(tmp_path / "program")])


def test_copies_differ_by_their_includes_and_pragmas_alone(gen: Path) -> None:
    own = {"small.c", "small.h", "mct_selected_model.h", "one_version.h"}
    for path in sorted((gen / "src").rglob("*.[ch]")):
        text, name = path.read_text(), path.relative_to(gen / "src")
        for included in re.findall(r'^(?! \*).*"(\S+\.[ch])"', text, re.M):
            assert path.name in own or (path.parent / included).is_file(), (name, included)
        if path.name in own:
            continue
        lines = re.sub(r"#ifndef MCT_TEMPLATE\n(#pragma weak \w+\n)+#endif\n", "", text)
        lines = re.sub(r"^#pragma weak \w+\n", "", lines, flags=re.M)
        lines = re.sub(r'\n#include "one_version.h"\n$', "", lines)
        original = (FIRMWARE / name).read_text()
        without = [re.sub(r'"(\S*/)?(\w+\.[ch])"', r'"\2"', each) for each in (lines, original)]

        assert without[0] == without[1], name
        assert original.startswith("/* SPDX-License-Identifier: Apache-2.0 */\n")


def test_it_has_the_kernels_of_the_model_and_no_others(plan: TrainingPlan, gen: Path) -> None:
    """A source is there for a call, or for a header that one of these includes."""
    kernels = {path.stem for path in (gen / "src" / "kernels").glob("*.c")}
    called = {call.kernel for call in (c.call for c in folders.lay_out(plan).kernel_calls)}
    everything = (gen / "src" / "small.c").read_text() + "".join(
        path.read_text() for path in (gen / "src").rglob("*/*.[ch]")
    )

    assert called and {"add", "conv2d", "depthwise_conv2d", "average_pool2d"} < kernels
    assert not kernels & {"max_pool2d", "mul", "softmax", "strided_copy", "add_mve", "conv2d_dsp"}
    for name in kernels:
        assert re.search(rf'#include "(kernels/|\.\./kernels/)?{name}\.h"', everything), name


def test_the_link_is_there_if_it_is_asked_for(plan: TrainingPlan, tmp_path: Path) -> None:
    gen = written(tmp_path / "gen", plan)

    assert not (gen / "src" / "runtime" / "session.c").exists()
    learning = {path.name for path in (gen / "src" / "learning").glob("*.c")}
    assert learning == {"guard.c", "replay.c", "store.c"}
    assert "mct_port_write" not in (gen / "README.md").read_text()
    written(gen, plan, has_link=True)
    assert "mct_port_write" in (gen / "README.md").read_text()
    assert (gen / "src" / "runtime" / "session.c").is_file()
    written(gen, plan)  # what is needed no more would be compiled
    assert not (gen / "src" / "runtime" / "session.c").exists()


def test_the_page_tells_ram_and_flash(plan: TrainingPlan, gen: Path) -> None:
    page = (gen / "README.md").read_text()
    ram = plan.memory.arena_bytes + plan.memory.state_bytes

    assert f"{ram:,} |" in page
    assert f"{folders.lay_out(plan).constant_bytes:,} |" in page
    assert len(page.splitlines()) < 120  # one page


@pytest.mark.parametrize("standard", ["-std=c99", "-std=c11", "-std=gnu17"])
def test_c_may_include_every_header_of_the_seam(gen: Path, tmp_path: Path, standard: str) -> None:
    (tmp_path / "all.c").write_text(all_headers(gen))
    said(
        ["gcc"], standard, *STRICT, f"-I{gen / 'src'}", "-c", tmp_path / "all.c", "-o", "/dev/null"
    )


@pytest.mark.parametrize("standard", ["-std=c++11", "-std=c++17", "-std=c++20"])
def test_cpp_may_include_every_header_of_the_seam(gen: Path, tmp_path: Path, standard: str) -> None:
    (tmp_path / "all.cpp").write_text(all_headers(gen))
    said(
        ["g++"],
        standard,
        *STRICT,
        f"-I{gen / 'src'}",
        "-c",
        tmp_path / "all.cpp",
        "-o",
        "/dev/null",
    )


def all_headers(gen: Path) -> str:
    """A program that includes the model's header and all of ``mct/`` that is one of its own."""
    parts = {
        f"model_{part}.h" for part in ("api", "arrival", "body", "chain", "enrol", "latents")
    }  # of NAME.h and NAME.c
    found = sorted(
        path.name for path in (gen / "src" / "mct").glob("*.h") if path.name not in parts
    )
    assert {"model.h", "protocol.h", "port.h", "status.h", "fixedpoint.h"} < {*found}
    text = '#include "small.h"\n' + "".join(f'#include "mct/{name}"\n' for name in found)
    product = "return SMALL_INPUT_SCALE * SMALL_OUTPUT_SCALE;"
    return f"{text}float scale(void);\nfloat scale(void)\n{{\n    {product}\n}}\n"


def test_scales_are_exact_and_zero_points_are_those_of_the_model(
    plan: TrainingPlan, gen: Path, tmp_path: Path
) -> None:
    tests = []
    for end, tensor in (("INPUT", plan.task.input), ("OUTPUT", plan.task.logits)):
        tests += [f"SMALL_{end}_SCALE == {tensor.type.scale.hex()}",
                  f"SMALL_{end}_ZERO_POINT == {tensor.type.zero_point}"]  # fmt: skip
    (tmp_path / "main.c").write_text(
        f'#include "small.h"\nint main(void)\n{{\n    return !({" && ".join(tests)});\n}}\n'
    )
    said(["gcc"], f"-I{gen / 'src'}", tmp_path / "main.c", "-o", tmp_path / "program")

    said([str(tmp_path / "program")])


def test_two_models_share_their_kernels_and_a_translation_unit(
    plan: TrainingPlan, tmp_path: Path
) -> None:
    """As a unity build has it."""
    plans = (plan, small_plan(tmp_path, "other", "last:1", seed=5))
    gen = written(tmp_path / "gen", *plans)
    models = [gen / "src" / f"{each.name}.c" for each in plans]
    unity = "".join(f'#include "{path}"\n' for path in models)
    (tmp_path / "main.c").write_text(unity + program(*plans))
    shared = [path for path in sources(gen) if path not in models]
    said(["gcc"], f"-I{gen / 'src'}", tmp_path / "main.c", *shared, "-o", tmp_path / "program")

    assert len(shared) == len({path.name for path in shared})
    said([str(tmp_path / "program")])


def test_two_folders_link_into_one_program_and_two_versions_do_not(
    plan: TrainingPlan, gen: Path, objects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All object files of both: kernels are there twice, and each is checked to be weak."""
    other = renamed(plan, "other")
    own = [path for path in objects.iterdir() if path.name not in ("session.o", "link.o")]
    again = compiled(["gcc"], sources(written(tmp_path / "b", other)), tmp_path / "b-objects")
    headers = (f"-I{gen / 'src'}", f"-I{tmp_path / 'b' / 'src'}")
    (tmp_path / "main.c").write_text(program(plan, other))
    (main,) = compiled(["gcc", *headers], [tmp_path / "main.c"], tmp_path / "main")
    said(["gcc"], main, *own, *again, "-o", tmp_path / "program")
    said([str(tmp_path / "program")])

    changed = folders.firmware_files()
    changed["kernels/add.c"] += "\n"
    monkeypatch.setattr(folders, "firmware_files", lambda: changed)
    newer = sources(written(tmp_path / "c", other))
    newest = compiled(["gcc"], [path for path in newer if path.stem == "other"], tmp_path / "c-o")
    rest = [path for path in again if "other" not in path.name]
    versions = {version_of(changed), version_in(gen)}
    told = refused(["gcc"], main, *own, *newest, *rest, "-o", tmp_path / "program")

    assert len(versions) == 2 and "multiple definition of `mct_kernels_of_two_versions'" in told
    assert all(f"mct_kernels_{version}" in told for version in versions), told


def version_in(gen: Path) -> str:
    (found,) = re.findall(
        r"\.ifndef mct_kernels_(\w+)", (gen / "src/mct/one_version.h").read_text()
    )
    return str(found)


def test_two_versions_in_one_translation_unit_are_told(
    plan: TrainingPlan, gen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = folders.firmware_files()
    changed["mct/digest.c"] += "\n"
    monkeypatch.setattr(folders, "firmware_files", lambda: changed)
    newer = written(tmp_path / "newer", renamed(plan, "other"))
    both = [gen / "src" / "small.c", newer / "src" / "other.c"]
    (tmp_path / "main.c").write_text("".join(f'#include "{path}"\n' for path in both))

    assert "two versions of mcutrain" in refused(["gcc"], "-fsyntax-only", tmp_path / "main.c")


def test_what_generate_did_not_write_stays(model: Path, tmp_path: Path, run: Run) -> None:
    gen = tmp_path / "gen"
    gen.mkdir()
    for name in (
        "README.md",
        "CMakeLists.txt",
        "src/small.c",
        "src/kernels/add.c",
        "generated.json",
    ):
        path = gen / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        ran = run("generate", model, "-o", gen)

        assert (ran.status, ran.out) == (1, "")
        assert f"{path} is not of generate and would be lost" in ran.err
        assert len(ran.err.splitlines()) == 1
        assert [each for each in gen.rglob("*") if each.is_file()] == [path]
        path.unlink()
    (gen / "notes.txt").write_text("mine")
    (gen / "src" / "mine.c").write_text("int mine;\n")
    assert run("generate", model, "-o", gen).status == 0
    assert run("generate", model, "--update", "full", "-o", gen).status == 0
    assert (gen / "notes.txt").read_text() == "mine" and (gen / "src" / "mine.c").exists()


def test_a_model_in_the_folder_is_not_lost(model: Path, tmp_path: Path, run: Run) -> None:
    gen, other = tmp_path / "gen", tmp_path / "other.tflite"
    other.write_bytes(model.read_bytes())
    assert run("generate", model, "-o", gen).status == 0
    ran = run("generate", other, "-o", gen)

    assert ran.status == 1 and "holds the model small: give another folder, or all" in ran.err
    assert run("generate", other, model, "-o", gen).status == 0
    assert run("generate", other, model, "-o", gen, "--json").json["up_to_date"]
    assert json.loads((gen / "generated.json").read_text())["models"] == ["other", "small"]
    ran = run("generate", model, "-o", gen)
    assert ran.status == 1 and "holds the model other" in ran.err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("string", "hides the header string.h of the system"),
        ("Limits", "a model called limits hides"),
        ("softmax", "meets kernels/softmax.c"),
        ("session", "meets runtime/session.c"),
    ],
)
def test_a_name_that_cannot_be_is_told(
    name: str, words: str, model: Path, tmp_path: Path, run: Run
) -> None:
    ran = run("generate", model.rename(tmp_path / f"{name}.tflite"), "-o", tmp_path / "gen")

    assert (ran.status, ran.out) == (1, "")
    assert words in ran.err and "rename its file, or give --name" in ran.err
    assert not (tmp_path / "gen").exists()


def test_another_name_is_for_one_model(model: Path, tmp_path: Path, run: Run) -> None:
    other = tmp_path / "softmax.tflite"
    other.write_bytes(model.read_bytes())
    named = ("--name", "Left wrist", "-o", tmp_path / "gen")
    assert run("generate", other, *named).status == 0
    assert "left_wrist_step" in (tmp_path / "gen" / "src" / "left_wrist.h").read_text()
    assert "there are 2 models" in run("generate", model, other, *named).err
    assert "--runtime" in run("generate", other, *named, "--runtime").err
    twice = run("generate", model, model, "-o", tmp_path / "twice")
    assert "two models are called small" in twice.err


def test_a_listing_reaches_nothing_outside(plan: TrainingPlan, tmp_path: Path) -> None:
    gen = written(tmp_path / "gen", plan)
    for name in ("kept.c", "gen/old.c"):
        (tmp_path / name).write_text("mine")
    listing = json.loads((gen / "generated.json").read_text())
    listing["files"] += ["../kept.c", str(tmp_path / "kept.c"), "old.c"]
    (gen / "generated.json").write_text(json.dumps(listing))
    written(gen, plan)

    assert (tmp_path / "kept.c").exists() and not (gen / "old.c").exists()


def test_the_models_of_a_folder_can_be_given_by_a_file(
    model: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.tflite").write_bytes(model.read_bytes())
    (tmp_path / "mcutrain.toml").write_text(
        '[generate]\nmodel = ["small.tflite", "other.tflite"]\noutput = "gen"\n'
    )
    monkeypatch.chdir(tmp_path)

    assert run("generate").status == 0
    assert {"small.c", "other.c"} < {path.name for path in Path("gen/src").iterdir()}


# What a sketch needs of Arduino.
ARDUINO = """
#include <math.h>
#include <stdint.h>
#define HEX 16
#define constrain(x, low, high) ((x) < (low) ? (low) : (x) > (high) ? (high) : (x))
struct Port {
    void begin(long) {}
    template <typename T> void print(T) {}
    template <typename T> void println(T, int = 10) {}
};
static Port Serial;
void delay(unsigned long);
"""


@pytest.mark.parametrize(
    "options", [{}, {"loss": "mse"}, {"stream_input": True}, {"receive_ahead": True}]
)
def test_the_sketch_is_one_for_every_kind_of_model(
    options: dict[str, object], model: Path, tmp_path: Path
) -> None:
    asked = replace(PlanOptions("head"), **options)  # type: ignore[arg-type]
    gen = written(tmp_path / "gen", make_plan(load(model), asked))
    sketch = (gen / "examples" / "small" / "small.ino").read_text()
    (tmp_path / "small.cpp").write_text(ARDUINO + sketch)
    flags = ("-std=gnu++11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{gen / 'src'}")
    said(["g++"], *flags, tmp_path / "small.cpp")

    assert ("pushTarget" in sketch) == ("loss" in options)
