"""`python -m cyclestyle.competing.probe`: which GPUs PyTorch reaches, and which it was built for, as JSON.

A process of its own: whoever has once reached a GPU holds memory on it.
"""

import json

import torch


def probe() -> dict[str, object]:
    """PyTorch's version, the architectures that it was built for, and each device's name and compute capability."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    devices = [torch.cuda.get_device_properties(index) for index in range(count)]
    return {
        "torch": torch.__version__,
        "built_for": torch.cuda.get_arch_list() if count else [],
        "devices": [{"name": one.name, "capability": [one.major, one.minor]} for one in devices],
    }


if __name__ == "__main__":
    print(json.dumps(probe()))  # noqa: T201 - this is the answer
