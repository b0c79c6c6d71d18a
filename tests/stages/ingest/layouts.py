"""Draws tiny fakes of the three published layouts, in the spelling of the real ones."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.stages.ingest.params import Batch, IngestParams, Limits

HAM_HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
ISIC_HEADER = (
    "isic_id,attribution,copyright_license,age_approx,anatom_site_general,diagnosis_1,diagnosis_2,diagnosis_3,"
    "diagnosis_4,diagnosis_confirm_type,fitzpatrick_skin_type,image_type,lesion_id,patient_id,sex\n"
)


def picture(seed: int = 0, *, width: int = 32, height: int = 24) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A smooth picture whose four corners differ: shape (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    shift = np.random.default_rng(seed).integers(0, 60)
    return np.stack([x * 200 // width + shift, y * 200 // height + shift, 200 - (x + y)], axis=-1).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(seed: int = 0, **options: Any) -> bytes:
    return encoded(Image.fromarray(picture(seed)), "JPEG", quality=95, **options)


def decoded(content: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def draw_ham10000(folder: Path) -> None:
    """Four images in two zips, two of one lesion; the table is that of the Dataverse record."""
    folder.mkdir(parents=True)
    names = [f"ISIC_002430{i}" for i in range(4)]
    write_zip(folder / "HAM10000_images_part_1.zip", {f"{name}.jpg": jpeg(i) for i, name in enumerate(names[:2])})
    write_zip(folder / "HAM10000_images_part_2.zip", {f"{name}.jpg": jpeg(i + 2) for i, name in enumerate(names[2:])})
    write_zip(folder / "HAM10000_segmentations_lesion_tschandl.zip", {"masks/x.png": b""})
    rows = (
        f"HAM_0000001,{names[0]},bkl,histo,80.0,male,scalp\n"
        f"HAM_0000001,{names[1]},bkl,histo,80.0,male,scalp\n"
        f"HAM_0000002,{names[2]},nv,follow_up,,unknown,unknown\n"
        f"HAM_0000003,{names[3]},mel,histo,45.0,female,back\n"
    )
    (folder / "HAM10000_metadata").write_text(HAM_HEADER + rows, "utf-8")


def draw_isic(folder: Path) -> None:
    """Three images under three licences, as `isic image download` leaves them."""
    (folder / "licenses").mkdir(parents=True)
    for i in range(3):
        (folder / f"ISIC_000000{i}.jpg").write_bytes(jpeg(i))
    rows = (
        'ISIC_0000000,"A Hospital, Vienna",CC-BY-NC,55,anterior torso,Benign,Benign melanocytic proliferations,Nevus,'
        '"Nevus, NOS, Dermal",histopathology,II,dermoscopic,IL_1,IP_1,female\n'
        'ISIC_0000001,Anonymous,CC-0,30,,Malignant,Malignant melanocytic proliferations (Melanoma),"Melanoma, NOS",,'
        "single image expert consensus,,dermoscopic,IL_2,IP_1,male\n"
        "ISIC_0000002,Anonymous,CC-BY,85,head/neck,Benign,Benign epidermal proliferations,Seborrheic keratosis,,"
        "serial imaging showing no change,IV,clinical: close-up,,,\n"
    )
    (folder / "metadata.csv").write_text(ISIC_HEADER + rows, "utf-8")
    (folder / "attribution.txt").write_text("A Hospital, Vienna\n\nAnonymous", "utf-8")
    (folder / "licenses/CC-0.txt").write_text("…", "utf-8")


def draw_folder(folder: Path) -> None:
    """Class-named folders, one nested, with what operating systems leave behind."""
    for i, name in enumerate(["Melanoma/1.jpg", "Melanoma/2.jpg", "train/Melanocytic nevus/1.jpg"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg(i))
    (folder / "Melanoma/Thumbs.db").write_bytes(b"\xd0\xcf")
    (folder / ".DS_Store").write_bytes(b"\0")


def make_params(source: str, **changes: Any) -> IngestParams:
    """Params that accept everything; `changes` are fields of the batch, of the limits, or `taxonomy`."""
    batch = {"source": source, "licence": "CC-BY-4.0", "attribution": "us", "ids": "as_given"}
    limits = {"max_reject_share": 1.0, "max_pixels": 1_000_000, "max_bytes": 10_000_000}
    return IngestParams(
        taxonomy=changes.pop("taxonomy", "lesions"),
        engine="local",
        batch=Batch.model_validate({name: changes.pop(name, value) for name, value in batch.items()}),
        limits=Limits.model_validate({**limits, **changes}),
    )
