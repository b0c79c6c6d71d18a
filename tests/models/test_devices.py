from __future__ import annotations

import pytest
import torch

from pipeline.core.errors import UserError
from pipeline.models.devices import prepare


def test_cuda_without_a_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no CUDA device is available: set it to auto or cpu"):
        prepare("cuda")
