"""Writes a model, so that no other measurement's time contains it.

python -m gpu.make_model 1b|8b-lora MODELS [--tiny]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gpu.models import model_folder


def main() -> None:
    name, models = sys.argv[1:3]
    folder = model_folder(Path(models), name, tiny="--tiny" in sys.argv)
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    print(json.dumps({"gb_on_disk": size / 1e9}))


if __name__ == "__main__":
    main()
