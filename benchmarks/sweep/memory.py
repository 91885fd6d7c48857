"""Peak memory of this process, or of its share of a CUDA device."""

import ctypes
import re
from contextlib import suppress
from pathlib import Path

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class MemoryMeter:
    """Memory beyond what was there when the meter was made, bytes.

    On the CPU: resident memory by the kernel's own high-water mark (Linux), so that no short peak is missed. Make the
    meter after the libraries are imported and before the weights are loaded. On CUDA: what PyTorch allocated.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        if self.device.type == "cuda":
            torch.cuda.init()
        self.before = 0 if self.device.type == "cuda" else _status("VmRSS")
        self.highest = 0
        self.restart()

    def restart(self) -> None:
        """Forget the peak so far (but not the highest of all)."""
        self.highest = max(self.highest, self.total_peak())
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            # What the last piece of work has left unused in the heap is not this one's.
            with suppress(OSError, AttributeError):
                ctypes.CDLL(None).malloc_trim(0)
            _RESET.write_text("5")

    def total_peak(self) -> int:
        """Return the peak since the last restart, interpreter and libraries included (CUDA: allocations)."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return _status("VmHWM")

    def beyond(self, weights: int) -> int:
        """Return the peak since the last restart less what was there before and the weights."""
        return self.total_peak() - self.before - weights


def weights_bytes(folder: Path, itemsize: int) -> int:
    """Return how much the weights of a folder take in a number format (the folder's are float32)."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) * itemsize // 4


def _status(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise OSError(f"{_STATUS} has no {field}: peak memory is measured on Linux only")
    return int(found[1]) * 1024
