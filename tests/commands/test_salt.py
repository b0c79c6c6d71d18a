from __future__ import annotations

import pandas as pd

from pipeline.commands.salt import rank_salts

SHARES = {"validation_share": 0.2, "test_share": 0.2}


def lesions(rare: int, common: int) -> pd.DataFrame:
    names = [f"demo:{i:04d}" for i in range(rare + common)]
    diagnoses = ["rare"] * rare + ["common"] * common
    columns = {"image_id": names, "diagnosis": diagnoses, "lesion_id": None, "group_id": names}
    return pd.DataFrame(columns).astype({"lesion_id": "str"})


def test_the_best_salt_gives_the_rare_class_its_share_of_every_split() -> None:
    ranked = rank_salts(lesions(10, 90), [f"s{i}" for i in range(100)], **SHARES)
    best, worst = ranked.iloc[0], ranked.iloc[-1]
    assert (best["train"], best["validation"], best["test"]) == (6, 2, 2)
    assert best["imbalance"] < 0.1
    assert worst["imbalance"] > 1.5


def test_images_of_one_lesion_count_once() -> None:
    single = lesions(10, 90)
    single["lesion_id"] = single["image_id"]
    double = pd.concat([single, single.assign(image_id=single["image_id"] + "b")], ignore_index=True)
    salts = ["a", "b", "c"]
    pd.testing.assert_frame_equal(rank_salts(single, salts, **SHARES), rank_salts(double, salts, **SHARES))


def test_the_ranking_does_not_depend_on_the_order_of_salts() -> None:
    images = lesions(8, 40)
    one, other = (rank_salts(images, salts, **SHARES) for salts in (["a", "b", "c"], ["c", "a", "b", "a"]))
    pd.testing.assert_frame_equal(one, other)
