"""The stage `gguf`: a model from a GGUF file, dequantised once into a plain folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from halo_core.errors import ModelError
from halo_core.hashing import known_file_hash
from halo_core.option_markers import Location
from halo_core.stage import Forecast, Inputs, Known, Product, Stage, StageContext, StageResult
from halo_core.workspace.records import STAGE
from halo_trainer.gguf.config import sizes_in
from halo_trainer.gguf.header import read_header

_BYTES = {"float32": 4, "bfloat16": 2}


class Gguf(Stage):
    """Dequantises a GGUF file, as transformers does, into a folder with safetensors.

    The folder of the file has no influence on the identity; the SHA-256 of its bytes has.
    """

    produces: ClassVar[Product] = "model"
    seeded: ClassVar[bool] = False
    results_version: ClassVar[int | None] = 1

    file: Annotated[str, Location()] = Field(
        description="The GGUF file, of an architecture that transformers reads. It needs the extra "
        "gguf: pip install 'halo-trainer[gguf]'."
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="Precision in which the dequantised weights are saved."
    )

    def file_digests(self) -> Mapping[str, str]:
        """Returns the SHA-256 of the file."""
        path = Path(self.file)
        return {"file": known_file_hash(path)} if path.is_file() else {}

    def mistakes(self) -> Sequence[tuple[str, str]]:
        """Returns what the header shows: that it is not a GGUF file, or that it is cut off."""
        try:
            read_header(Path(self.file))
        except ModelError as error:
            return [("file", str(error))]
        return []

    def forecast(self, known: Known) -> Forecast:
        """Returns the number of weights, their sizes, and the bytes that the folder needs."""
        header = read_header(Path(self.file))
        disk = header.weights * _BYTES[self.dtype]
        return Forecast(weights=header.weights, disk=disk, config=sizes_in(header))

    def check_inputs(self, inputs: Inputs) -> Sequence[tuple[str, str]]:
        """Returns why transformers cannot read the file; writes a sketch of the model."""
        from halo_trainer.gguf.look_ahead import gguf_mistakes

        return gguf_mistakes(Path(self.file), inputs.sketch)

    def run(self, context: StageContext) -> StageResult:
        """Dequantises the file and writes ``model/``."""
        with context.stop.at_once("no model was written; the same command writes it"):
            from halo_trainer.gguf.dequantise import dequantise

            record = STAGE.read(context.folder)
            planned = None if record is None else record["identity"]["stage"]["files"]["file"]
            folder = context.folder / "model"
            return dequantise(Path(self.file), folder, self.dtype, planned, context.warn)
