"""Refuses a folder whose weights are only in pickle files, and says how to convert them.

A pickle can run any code when it is loaded. So only safetensors files are read, for every model.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from halo_core.errors import ModelError

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def check_safetensors(folder: Path, *, classifier: bool = False) -> None:
    """Checks that a folder has weights in safetensors files. Reads no weights.

    Args:
        folder: The folder of a model.
        classifier: Whether it is a sequence classifier instead of a causal language model.

    Raises:
        ModelError: When it has none. If there are pickles, the message has a command that converts
            them without running their code.
    """
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path for pattern in PICKLES for path in folder.glob(pattern))
    pickles = [path for path in pickles if path.name != "training_args.bin"]
    if not pickles:
        raise ModelError(
            "there are no weights in this folder (*.safetensors). Expected a folder as "
            "transformers' save_pretrained writes it",
            location=str(folder),
        )
    raise ModelError(
        f"the weights are only in pickle files ({', '.join(path.name for path in pickles[:3])}"
        f"{', ...' if len(pickles) > 3 else ''}), which could run code when they are loaded. "
        "Expected safetensors files. This command writes them into the folder, and reads nothing "
        f"but tensors:\n{conversion(folder, pickles, classifier=classifier)}",
        location=str(folder),
    )


def conversion(folder: Path, pickles: list[Path], *, classifier: bool) -> str:
    """Returns a shell command that writes the weights in pickles as safetensors.

    Args:
        folder: The folder of the model.
        pickles: The files, of which each has a part of the weights.
        classifier: Whether it is a sequence classifier.
    """
    kind = "AutoModelForSequenceClassification" if classifier else "AutoModelForCausalLM"
    code = (
        "import torch; "
        f"from transformers import AutoConfig, {kind} as Model; "
        f"folder = {str(folder)!r}; files = {[path.name for path in pickles]!r}; "
        "weights = {name: value for file in files for name, value in "
        "torch.load(f'{folder}/{file}', map_location='cpu', weights_only=True).items()}; "
        "dtype = next(iter(weights.values())).dtype; "
        "model = Model.from_config(AutoConfig.from_pretrained(folder), dtype=dtype); "
        "report = model.load_state_dict(weights, strict=False); "
        "tied = set(model._tied_weights_keys or ()); "
        # Otherwise weights that the files lack would be saved as they were drawn.
        "assert not report.unexpected_keys and set(report.missing_keys) <= tied, report; "
        "model.save_pretrained(folder)"
    )
    return f"python -c {shlex.quote(code)}"
