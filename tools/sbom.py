# SPDX-License-Identifier: Apache-2.0
"""What this environment has installed, as CycloneDX JSON: ``python tools/sbom.py FILE``.

What packages say of themselves in words and addresses is left out, and with it all that tells
where they were fetched from: a component is its name, its version and its licence.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SCHEMA = "$schema"  # the one address that a reader of the format expects
LEFT_OUT = ("externalReferences", "evidence", "description")


def without_addresses(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_addresses(v) for k, v in value.items() if k not in LEFT_OUT}
    return [without_addresses(v) for v in value] if isinstance(value, list) else value


def addresses(value: Any) -> list[str]:
    """The texts in which a host or a folder of this computer is named."""
    if isinstance(value, dict):
        return [text for k, v in value.items() if k != SCHEMA for text in addresses(v)]
    if isinstance(value, list):
        return [text for v in value for text in addresses(v)]
    return [value] if isinstance(value, str) and ("://" in value or str(ROOT) in value) else []


def main() -> None:
    command = [
        *(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"),
        *("--pyproject", str(ROOT / "pyproject.toml"), "--of", "JSON", sys.executable),
    ]
    ran = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    bom = without_addresses(json.loads(ran.stdout))
    found = addresses(bom)
    if found:
        sys.exit(f"error: the SBOM names a place: {found[0]!r}")
    Path(sys.argv[1]).write_text(json.dumps(bom, indent=1, sort_keys=True) + "\n")
    print(f"{sys.argv[1]}: {len(bom['components'])} components")


if __name__ == "__main__":
    main()
