# SPDX-License-Identifier: Apache-2.0
"""Adds the generated model to the firmware: the folder that MCUTRAIN_GEN names, or by default the
embedded example, generated here. PlatformIO runs this before a build."""

import filecmp
import os
import re
import shutil
import subprocess
import sys

from SCons.Script import Import

Import("env")
project_dir = env.subst("$PROJECT_DIR")  # noqa: F821 (Import defines env)
environment = env["PIOENV"]  # noqa: F821
DEFAULT_GEN_DIR = os.path.join("build", "gen", environment)
simulated = environment.startswith("sim_")
TARGET = environment.replace("sim_", "sim:", 1) if simulated else f"board:{environment}"
TARGET = environment if environment == "native" else TARGET
GENERATE = ["generate", "examples/watch/watch.tflite", "--update", "last:2", "--target", TARGET]


def stop(message: str) -> None:
    sys.stderr.write(f"error: {message}\n")
    env.Exit(1)  # noqa: F821


chosen = os.environ.get("MCUTRAIN_GEN")
gen_dir = os.path.join(project_dir, chosen or DEFAULT_GEN_DIR)
sources_dir = os.path.join(gen_dir, "src")
SELECTED = "mct_selected_model.h"
if chosen and not any(
    os.path.isfile(os.path.join(folder, SELECTED)) for folder in (gen_dir, sources_dir)
):
    stop(f"{gen_dir} holds no generated model; run `mcutrain generate` with --output {gen_dir}")
if not chosen:  # again each time: files that stay the same are not written
    command = [sys.executable, "-m", "mcutrain", *GENERATE, "--output", DEFAULT_GEN_DIR]
    if subprocess.run(command, cwd=project_dir, check=False).returncode != 0:
        stop("the default model could not be generated (see above)")
if not os.path.isfile(os.path.join(gen_dir, SELECTED)):
    # A folder that stands alone has kernels beside its models. Here the models get the firmware's
    # own, whose ABI they check: so they lie apart from the others.
    gen_dir = os.path.join(env.subst("$BUILD_DIR"), "generated")  # noqa: F821
    os.makedirs(gen_dir, exist_ok=True)
    own = [name for name in os.listdir(sources_dir) if name.endswith((".c", ".h", ".json"))]
    for name in set(os.listdir(gen_dir)) - set(own):
        os.remove(os.path.join(gen_dir, name))
    for name in own:
        source, copy = os.path.join(sources_dir, name), os.path.join(gen_dir, name)
        if not os.path.isfile(copy) or not filecmp.cmp(source, copy, shallow=False):
            shutil.copyfile(source, copy)

SOURCES = env.subst("$PROJECT_SRC_DIR")  # noqa: F821
INCLUDED = re.compile(r'"((?:kernels|learning|mct)/\w+\.h)"')  # also by the macros of templates


def kernels_of_model():
    """The sources of the kernels that the generated C includes, and of what those include: no other
    is compiled, and none that the model's chip cannot run."""
    waiting = [os.path.join(gen_dir, name) for name in os.listdir(gen_dir)]
    waiting = [path for path in waiting if path.endswith((".c", ".h"))]
    found = set()
    while waiting:
        path = waiting.pop()
        if path in found or not os.path.isfile(path):
            continue
        found.add(path)
        with open(path, encoding="utf-8") as file:
            headers = [os.path.join(SOURCES, name) for name in INCLUDED.findall(file.read())]
        waiting += [*headers, *(f"{header[:-2]}.c" for header in headers)]
    return {os.path.realpath(path) for path in found}


KERNELS = os.path.realpath(os.path.join(SOURCES, "kernels"))
NEEDED = kernels_of_model()
OF_MODEL = ("session.c", "seal.c")  # of the runtime
HEADERS = [os.path.join(gen_dir, name) for name in os.listdir(gen_dir) if name.endswith(".h")]


def with_model(env, node):
    """A source that includes what is generated is compiled anew when that changes; others are not
    when another model is chosen. Quoted includes only: a model may be called string, or limits."""
    path = node.srcnode().get_abspath()
    real = os.path.realpath(path)
    if os.path.dirname(real) == KERNELS and real not in NEEDED:
        return None
    is_generated = os.path.dirname(path) == os.path.abspath(gen_dir)
    if not is_generated and os.path.basename(path) not in OF_MODEL:
        return node
    made = env.Object(node, MODEL_FLAGS=["-iquote", gen_dir])
    env.Depends(made, HEADERS)
    return made


env.Append(CCFLAGS=["$MODEL_FLAGS"])  # noqa: F821
env.AddBuildMiddleware(with_model)  # noqa: F821
env.BuildSources(os.path.join("$BUILD_DIR", "model"), gen_dir, "-<*> +<*.c>")  # noqa: F821
