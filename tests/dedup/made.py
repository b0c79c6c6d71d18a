"""What tests of `dedup` share."""

from __future__ import annotations

import yaml

from pipeline.dedup.params import Verify
from tests.project import ROOT

PARAMS = Verify(**yaml.safe_load((ROOT / "profiles/demo.yaml").read_text("utf-8"))["dedup"]["verify"])
