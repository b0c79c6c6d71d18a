from __future__ import annotations

import pandas as pd
import pytest

from pipeline.core.errors import UserError
from pipeline.core.taxonomy import canonical, diagnoses_in_scope, normalise

DIAGNOSES = pd.Series(["nevus", "melanoma", "nevus", "scar"])


def test_case_spacing_underscores_and_unicode_forms_do_not_matter() -> None:
    assert normalise("  Basal_Cell \u00a0CARCINOMA ") == "basal cell carcinoma"
    assert normalise("na\u0308vus") == normalise("n\u00e4vus")


def test_as_given_only_tidies_the_spelling() -> None:
    assert canonical("  Lichen  Planus", None) == "lichen_planus"
    assert canonical("  ", None) is None


def test_classes_in_scope_are_sorted_and_each_has_an_image() -> None:
    assert diagnoses_in_scope(DIAGNOSES, "all") == ["melanoma", "nevus", "scar"]
    assert diagnoses_in_scope(DIAGNOSES, ["scar", "nevus"]) == ["nevus", "scar"]
    with pytest.raises(UserError, match=r"classes names \['wart'\]"):
        diagnoses_in_scope(DIAGNOSES, ["nevus", "wart"])
