"""The devices that a plan is made for: their number, memory and speed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from halo_core.errors import UserError, did_you_mean

USABLE = 0.9
"""Share of a device's memory that a plan counts on. The driver, communication buffers and gaps
between tensors take the rest."""


@dataclass(frozen=True)
class Gpu:
    """Facts about a kind of GPU.

    Attributes:
        gigabytes: Memory in GB (1e9 bytes).
        tflops: Peak of dense bfloat16 matrix products, in 1e12 operations per second.
        bandwidth: Bandwidth of its memory, in GB (1e9 bytes) per second.
        link: Bandwidth to the other GPUs of its machine, in GB per second and direction.
    """

    gigabytes: float
    tflops: float
    bandwidth: float
    link: float


GPUS: Mapping[str, Gpu] = {
    "A100": Gpu(80, 312, 2039, 300),
    "A100-40": Gpu(40, 312, 1555, 300),
    "H100": Gpu(80, 989, 3350, 450),
    "H200": Gpu(141, 989, 4800, 450),
    "B200": Gpu(180, 2250, 8000, 900),
    "L40S": Gpu(48, 362, 864, 32),
    "L4": Gpu(24, 121, 300, 32),
    "A10": Gpu(24, 125, 600, 32),
    "4090": Gpu(24, 165, 1008, 32),
}
"""Known kinds of GPU by name. SXM boards if there are several.

Sources: the data sheets of NVIDIA (A100, H100, H200, B200 in the DGX B200, L40S, L4, A10, and the
whitepaper of the Ada architecture for the RTX 4090), without sparsity. GPUs with a link of 32 GB/s
have PCIe 4.0 with 16 lanes.
"""

REPORT_GPU = "A100"
"""The GPU of the report, whose speed is assumed if a plan knows only the memory."""


@dataclass(frozen=True)
class Devices:
    """Devices of one kind.

    Attributes:
        count: Number of devices, at least 1.
        gigabytes: Memory of each in GB (1e9 bytes).
        tflops: Peak of dense bfloat16 matrix products of each, in 1e12 operations per second.
        bandwidth: Bandwidth of the memory of each, in GB per second.
        name: Kind of device, such as ``A100``; "" if only the memory is known.
        origin: How they are known: given by the user (``asked``), found on this machine
            (``here``), or an example, because there are none (``example``).
    """

    count: int
    gigabytes: float
    tflops: float = GPUS[REPORT_GPU].tflops
    bandwidth: float = GPUS[REPORT_GPU].bandwidth
    name: str = ""
    origin: str = "asked"

    @property
    def usable(self) -> float:
        """The memory that a plan counts on, of each, in GB."""
        return USABLE * self.gigabytes

    def __str__(self) -> str:
        kind = f"{self.name} with " if self.name else ""
        return f"{self.count} x {kind}{self.gigabytes:g} GB"


EXAMPLE_DEVICES = Devices(8, 80.0, origin="example")
"""The devices of a plan if there are no others."""

_ASKED = re.compile(r"(?:(\d+)\s*x\s*)?(?:(\d+(?:\.\d+)?)\s*GB|([A-Za-z0-9-]+))", re.IGNORECASE)
_EXPECTED = f"expected COUNTxMEMORY or COUNTxNAME, as in 8x80GB or 8xH100; names: {', '.join(GPUS)}"


def parse_devices(text: str, tflops: float | None = None) -> Devices:
    """Returns the devices that a text describes.

    Args:
        text: ``8x80GB``, ``8xH100`` or ``H100`` (one of them).
        tflops: Peak of each in dense bfloat16, if it is not that of the name.

    Raises:
        UserError: When it describes none. The message has the known names.

    >>> str(parse_devices("8x80GB")), parse_devices("2xh100").tflops
    ('8 x 80 GB', 989)
    """
    found = _ASKED.fullmatch(text.strip())
    names = {name.lower(): name for name in GPUS}
    name = names.get((found[3] or "").lower(), "") if found else ""
    if found is None or (found[3] and not name):
        meant = did_you_mean((found[3] if found else text).lower(), names)
        raise UserError(f"got {text!r};{meant} {_EXPECTED}", location="--devices")
    count = int(found[1] or 1)
    gigabytes = GPUS[name].gigabytes if name else float(found[2])
    if count < 1 or gigabytes <= 0:
        raise UserError(
            f"got {text!r}; expected at least one device with memory", location="--devices"
        )
    gpu = GPUS[name or REPORT_GPU]
    return Devices(count, gigabytes, tflops or gpu.tflops, gpu.bandwidth, name)


def known_gpu(model: str) -> str:
    """Returns the name in `GPUS` of a GPU by its driver's name; "" if it is not known.

    >>> known_gpu("NVIDIA A100-SXM4-80GB"), known_gpu("NVIDIA L40S"), known_gpu("Tesla T4")
    ('A100', 'L40S', '')
    """
    words = re.split(r"[^A-Za-z0-9]+", model.upper())
    if "A100" in words and any(word.startswith("40GB") for word in words):
        return "A100-40"
    return next((name for name in GPUS if name in words), "")
