# SPDX-License-Identifier: Apache-2.0
"""The firmware's sources as they are copied beside a model: those that it needs, each found from
where it is included, and able to lie in one program twice.

A file is a name, such as ``kernels/add.c``, with its text.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping

from mcutrain.codegen.c import INDENT
from mcutrain.codegen.emit import KERNEL_ABI

Files = Mapping[str, str]

SELECTION = "mct_selected_model.h"  # which model the session serves
KEYS = "mct_keys.h"  # of its link, if it has some
VERSION = "mct/one_version.h"
# Each model includes it, and so the version.
BODY = "mct/model_body.h"
# What serves one model alone: in two folders these are two, and the linker says so.
OF_ONE_MODEL = ("runtime/session.c", "runtime/link.c", "runtime/seal.c")

NAMED = re.compile(r'^([ \t]*#[ \t]*(?:include|define MCT_TEMPLATE)[ \t]+)"([^"\n]+)"', re.M)
# A function at the left margin that is not static, or a table; it may be named by macros.
FUNCTION = re.compile(r"^(?!static\b)\w[\w \t*]*?[ \t*](?:(MCT_\w+)\()?(mct_\w+)\)?\(", re.M)
TABLE = re.compile(r"^const \w+ (mct_\w+)\[", re.M)
# What the macros of kernels/each_error.h and each_way.h make of a name.
FORMATS = ("_s16", "_s8")
WAYS = tuple(
    shifted + way
    for shifted in ("", "_shifted")
    for way in ("_update", "_update_whole", "_accumulate")
)
ENDINGS = {
    "MCT_NAME": FORMATS,
    "MCT_WAY": WAYS,
    "MCT_UPDATE": tuple(way + format_ for way in WAYS for format_ in FORMATS),
}


def included(text: str) -> Iterator[str]:
    """The project's files that a file includes."""
    for _, path in NAMED.findall(text):
        if posixpath.dirname(path):
            yield path


def needed(files: Files, roots: Iterable[str]) -> list[str]:
    """``roots`` and all that they need of ``files``: what is included, and for each header the
    source of its functions."""
    found = set[str]()
    waiting = [*roots]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += included(files[name])
        source = f"{name[:-2]}.c"
        if source in files:
            waiting.append(source)
    return sorted(found)


def copied(name: str, text: str, version: str) -> str:
    """The text of a copied file, with includes that need no path of the compiler."""
    folder = posixpath.dirname(name)

    def relative(found: re.Match[str]) -> str:
        path = found[2]
        if posixpath.dirname(path) or path in (SELECTION, KEYS):
            path = posixpath.relpath(path, folder)
        return f'{found[1]}"{path}"'

    text = NAMED.sub(relative, text)
    if name == BODY:
        text += f'\n#include "{posixpath.relpath(VERSION, folder)}"\n'
    return weak(text) if name.endswith(".c") and name not in OF_ONE_MODEL else text


def weak(text: str) -> str:
    """A source all of whose definitions another copy may take the place of. What macros name is
    declared in the headers from the beginning; of all else it may depend on the compiler whether
    it is there."""
    named_by_macros = [
        name + ending
        for macro, name in dict.fromkeys(FUNCTION.findall(text))
        if macro
        for ending in ENDINGS[macro]
    ]
    text = TABLE.sub(lambda found: f"#pragma weak {found[1]}\n{found[0]}", text)
    text = FUNCTION.sub(
        lambda found: found[0] if found[1] else f"#pragma weak {found[2]}\n{found[0]}", text
    )
    if not named_by_macros:
        return text
    licence, rest = text.split("\n", 1)
    pragmas = (f"#pragma weak {name}" for name in named_by_macros)
    return "\n".join([licence, "#ifndef MCT_TEMPLATE", *pragmas, "#endif", rest])


def version_of(files: Files) -> str:
    """Names the kernels: their ABI, and a hash of all that can be copied."""
    digest = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name].encode()):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return f"{KERNEL_ABI}_{digest.hexdigest()[:8]}"


def emit_version(version: str) -> str:
    """The text of ``mct/one_version.h``."""
    number = f"0x{version.rpartition('_')[2]}u"
    kernels, told = f"mct_kernels_{version}", f"the kernels {version} of mcutrain"
    lines = [
        f".ifndef {kernels}",
        ".ifdef mct_kernels_of_two_versions",
        f'.error \\"{told} meet others in this program\\"',
        "mct_kernels_told",
        ".else",
        ".macro mct_kernels_told",
        f'.error \\"{told} are the others\\"',
        ".endm",
        f'.pushsection .{kernels},\\"G\\",%progbits,{kernels},comdat',
        f".globl {kernels}",
        ".globl mct_kernels_of_two_versions",
        f"{kernels}:",
        "mct_kernels_of_two_versions:",
        ".byte 0",
        ".popsection",
        ".endif",
        ".endif",
    ]
    assembly = "\n".join(f'{INDENT}"{line}\\n"' for line in lines)
    return f"""/* SPDX-License-Identifier: Apache-2.0 */
/* Generated by mcutrain; do not edit.
 *
 * A program may hold several folders that mcutrain generated, but all must have the same kernels:
 * these are {version}, the kernel ABI with a hash of their sources. Equal versions are one group of
 * sections, of which the linker keeps one. Two versions define one symbol twice; the linker then
 * names both. With link-time optimisation the assembler does. Nothing of it is loaded. To mend it,
 * generate all folders with one version of mcutrain. */
#if defined MCT_KERNELS_VERSION && MCT_KERNELS_VERSION != {number}
#error "models of two versions of mcutrain in one translation unit: generate them anew"
#endif
#ifndef MCT_KERNELS_VERSION
#define MCT_KERNELS_VERSION {number}

#ifdef __ELF__
__asm__(
{assembly});
#endif

#endif
"""
