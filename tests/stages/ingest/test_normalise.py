from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile
from PIL.PngImagePlugin import PngInfo

from pipeline.stages.ingest.normalise import Normalised, normalise, pixel_digest
from pipeline.stages.ingest.rows import RejectedError
from tests.stages.ingest.layouts import decoded, encoded, jpeg, picture

LIMIT = 1_000_000


def accepted(content: bytes) -> Normalised:
    """Normalise, and check what holds of every stored image."""
    image = normalise(content, max_pixels=LIMIT)
    with Image.open(io.BytesIO(image.content)) as stored:
        assert stored.size == (image.width, image.height)
        assert {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}[str(stored.format)] == image.extension
        assert stored.mode in {"1", "L", "P", "RGB"}
        assert pixel_digest(stored) == image.pixel_sha256
        assert not set(stored.info) & {"exif", "xmp", "icc_profile", "comment", "transparency", "photoshop"}
    return image


def rejected(content: bytes, *, max_pixels: int = LIMIT) -> RejectedError:
    with pytest.raises(RejectedError) as error:
        normalise(content, max_pixels=max_pixels)
    return error.value


def located(orientation: int = 1) -> Image.Exif:
    """Exif with an orientation, a camera and a position."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "SecretCamera"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0)})
    return exif


def wide_gamut() -> bytes:
    """An RGB profile whose red and green are exchanged, so that ignoring it shows."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(profile[o : o + 4]): o for o in range(132, 132 + 12 * struct.unpack_from(">I", profile, 128)[0], 12)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    profile[red + 4 : red + 12], profile[green + 4 : green + 12] = (
        profile[green + 4 : green + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(profile)


def test_a_plain_jpeg_is_stored_as_received() -> None:
    content = jpeg()
    image = accepted(content)
    assert (image.content, image.stored_as, image.width, image.height) == (content, "received", 32, 24)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_pixel_digest_is_of_what_is_seen_however_it_is_stored(mode: str) -> None:
    content = jpeg() if mode == "RGB" else encoded(Image.fromarray(picture()).convert("L"), "JPEG")
    seen = Image.fromarray(decoded(content))
    copies = [encoded(seen, kind, lossless=True) for kind in ("PNG", "BMP", "WEBP", "TIFF")]
    assert {accepted(copy).pixel_sha256 for copy in copies} == {accepted(content).pixel_sha256}


def test_the_pixel_digest_sees_one_changed_level() -> None:
    changed = picture()
    changed[3, 4, 1] ^= 1
    digests = {accepted(encoded(Image.fromarray(pixels), "PNG")).pixel_sha256 for pixels in (picture(), changed)}
    assert len(digests) == 2


def test_the_pixel_digest_tells_shapes_apart() -> None:
    levels = np.arange(36, dtype=np.uint8)
    digests = {
        accepted(encoded(Image.fromarray(levels.reshape(*size, 3)), "PNG")).pixel_sha256
        for size in ((2, 6), (6, 2), (1, 12))
    }
    assert len(digests) == 3


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_plain_lossless_image_is_stored_as_received(kind: str) -> None:
    content = encoded(Image.fromarray(picture()), kind, lossless=True)
    image = accepted(content)
    assert (image.content, image.stored_as) == (content, "received")


@pytest.mark.parametrize("progressive", [False, True])
def test_position_and_camera_are_cut_out_of_a_jpeg_without_touching_a_pixel(progressive: bool) -> None:  # noqa: FBT001
    content = jpeg(
        exif=located(),
        comment=b"SecretComment",
        xmp=b"<x:xmpmeta>SecretPlace</x:xmpmeta>",
        progressive=progressive,
        restart_marker_blocks=2,
    )
    content += b"SecretTrailer"
    image = accepted(content)
    assert image.stored_as == "stripped"
    assert b"Secret" not in image.content
    assert (decoded(image.content) == decoded(content)).all()


def test_a_thumbnail_in_the_jfif_segment_is_cut_out() -> None:
    content = jpeg()
    jfif = content[4:20]
    assert jfif[2:7] == b"JFIF\0"
    thumbnail = b"\xff\xe0" + struct.pack(">H", 16 + 12) + jfif[2:14] + b"\x02\x02" + b"secretpixels"
    image = accepted(content[:2] + thumbnail + content[20:])
    assert image.content == content


def test_texts_of_a_png_are_cut_out_without_touching_a_pixel() -> None:
    info = PngInfo()
    info.add_text("Author", "SecretName")
    info.add_itxt("XML:com.adobe.xmp", "SecretPlace")
    content = encoded(Image.fromarray(picture()), "PNG", pnginfo=info, exif=located())
    image = accepted(content)
    assert image.stored_as == "stripped"
    assert b"Secret" not in image.content
    assert (decoded(image.content) == picture()).all()


def test_metadata_of_a_webp_does_not_survive() -> None:
    content = encoded(Image.fromarray(picture()), "WEBP", lossless=True, exif=located())
    image = accepted(content)
    assert b"SecretCamera" in content
    assert b"SecretCamera" not in image.content
    assert (decoded(image.content) == picture()).all()


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, picture()),
        (2, picture()[:, ::-1]),
        (3, picture()[::-1, ::-1]),
        (4, picture()[::-1]),
        (5, picture().transpose(1, 0, 2)),
        (6, np.rot90(picture(), -1)),
        (7, np.rot90(picture(), 2).transpose(1, 0, 2)),
        (8, np.rot90(picture(), 1)),
        (99, picture()),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_orientation_is_applied(kind: str, orientation: int, upright: np.ndarray[Any, Any]) -> None:
    content = encoded(
        Image.fromarray(picture()), kind, exif=located(orientation), **({"quality": 95} if kind == "JPEG" else {})
    )
    image = accepted(content)
    assert (image.height, image.width) == upright.shape[:2]
    assert np.abs(decoded(image.content).astype(int) - upright).max() <= (12 if kind == "JPEG" else 0)
    if kind == "JPEG" and orientation == 6:
        assert (decoded(image.content) == np.rot90(decoded(content), -1)).all()


def test_cmyk_becomes_the_rgb_that_it_shows() -> None:
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8, :8] = (0, 255, 255, 0)  # magenta and yellow: red
    inks[:8, 8:] = (255, 255, 0, 0)  # cyan and magenta: blue
    inks[8:, :8] = (0, 0, 0, 255)  # black
    image = accepted(encoded(Image.frombytes("CMYK", (16, 16), inks.tobytes()), "JPEG", quality=100))
    corners = decoded(image.content)[[2, 2, 13, 13], [2, 13, 2, 13]].astype(int)
    truth = np.array([[255, 0, 0], [0, 0, 255], [0, 0, 0], [255, 255, 255]])
    assert np.abs(corners - truth).max() <= 4
    assert image.stored_as == "reencoded"


def test_16_bit_grey_is_scaled_and_not_clipped() -> None:
    grey = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16) + 200
    image = accepted(encoded(Image.fromarray(grey), "PNG"))
    assert (decoded(image.content)[..., 0] == np.arange(256).reshape(16, 16)).all()
    assert image.stored_as == "reencoded"


def test_16_bit_colour_is_scaled_to_8_bits() -> None:
    deep = picture().astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in deep)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 32, 24, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    image = accepted(content)
    assert (decoded(image.content) == picture()).all()
    assert (image.stored_as, image.content[24]) == ("reencoded", 8)


def test_transparency_is_laid_on_white() -> None:
    alpha = np.full((24, 32), 255, np.uint8)
    alpha[:, 16:] = 0
    image = accepted(encoded(Image.fromarray(np.dstack([picture(), alpha])), "PNG"))
    assert (decoded(image.content)[:, :16] == picture()[:, :16]).all()
    assert (decoded(image.content)[:, 16:] == 255).all()


def test_a_transparent_palette_is_laid_on_white() -> None:
    indexed = Image.new("P", (8, 8), 1)
    indexed.putpalette([10, 20, 30, 40, 50, 60])
    indexed.paste(0, (0, 0, 4, 8))
    image = accepted(encoded(indexed, "PNG", transparency=0))
    assert decoded(image.content)[0, [0, 7]].tolist() == [[255, 255, 255], [40, 50, 60]]


def test_the_first_frame_of_an_animation_is_taken() -> None:
    first, second = Image.fromarray(picture()), Image.fromarray(picture()[::-1])
    for kind, options in {"GIF": {}, "PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}}.items():
        image = accepted(encoded(first, kind, save_all=True, append_images=[second], **options))
        assert np.abs(decoded(image.content).astype(int) - decoded(encoded(first, kind, **options))).max() == 0


def test_a_profile_is_converted_to_srgb() -> None:
    image = accepted(encoded(Image.fromarray(picture()), "PNG", icc_profile=wide_gamut()))
    assert image.stored_as == "reencoded"
    assert np.abs(decoded(image.content).astype(int) - picture()[..., [1, 0, 2]]).max() <= 3


def test_an_srgb_profile_costs_no_pixel() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = jpeg(icc_profile=srgb)
    image = accepted(content)
    assert image.stored_as == "stripped"
    assert (decoded(image.content) == decoded(content)).all()


def test_a_damaged_profile_is_ignored() -> None:
    assert accepted(jpeg(icc_profile=b"no profile")).stored_as == "stripped"


def test_damaged_exif_is_no_reason_to_reject() -> None:
    content = jpeg(exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12garbage")
    assert (decoded(accepted(content).content) == decoded(jpeg())).all()


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_a_truncated_image_is_rejected_even_where_pillow_is_lenient(
    share: float,
    lenient: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    for kind in ("JPEG", "PNG", "WEBP"):
        content = encoded(noise, kind)
        assert rejected(content[: max(20, int(len(content) * share))]).reason == "truncated", kind


def test_a_jpeg_whose_tail_was_never_written_is_truncated() -> None:
    content = encoded(Image.fromarray(picture(width=128, height=128)), "JPEG")
    half = len(content) // 2
    assert rejected(content[:half] + b"\0" * (len(content) - half)).reason == "truncated"


def test_a_png_with_a_damaged_byte_is_rejected() -> None:
    content = encoded(Image.fromarray(picture()), "PNG")
    for place in range(8, len(content)):
        damaged = content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]
        assert rejected(damaged).reason in {"undecodable", "truncated"}


def test_a_png_with_damaged_data_under_a_true_checksum_is_rejected() -> None:
    """Pillow loads a PNG to look for Exif, and what goes wrong in that must not be taken for damaged Exif."""
    for image in (Image.fromarray(picture()).quantize(16), Image.fromarray(picture()).convert("L")):
        content = bytearray(encoded(image, "PNG"))
        place = content.index(b"IDAT") + 12
        content[place] ^= 255
        length = int.from_bytes(content[place - 16 : place - 12])
        start = place - 12
        content[start + 4 + length : start + 8 + length] = zlib.crc32(content[start : start + 4 + length]).to_bytes(4)
        assert rejected(bytes(content)).reason == "undecodable"


def test_a_bomb_is_rejected_by_its_header() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"never decoded") + chunk(b"IEND", b"")
    error = rejected(content, max_pixels=100_000_000)
    assert (error.reason, "20000 x 20000" in error.detail) == ("too_large", True)


def test_the_limit_is_the_largest_size_allowed() -> None:
    assert normalise(jpeg(), max_pixels=32 * 24)
    assert rejected(jpeg(), max_pixels=32 * 24 - 1).reason == "too_large"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "not_an_image"),
        (b"plain words", "not_an_image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "unsupported_format"),
        (b"%PDF-1.7", "unsupported_format"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "unsupported_format"),
        (b"\0" * 128 + b"DICM", "unsupported_format"),
        (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "unsupported_format"),
        (b"GIF89a", "undecodable"),
        (b"\xff\xd8\xff\xe0\x00\x04xx\xff\xd9", "undecodable"),
    ],
)
def test_what_is_no_image_is_rejected_by_its_content(content: bytes, reason: str) -> None:
    error = rejected(content)
    assert error.reason == reason
    assert " at 0x" not in error.detail


def test_damaged_files_are_rejected_or_read_and_never_crash() -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(picture())
    seeds = [jpeg(exif=located(6)), *(encoded(image, kind) for kind in ("PNG", "GIF", "BMP", "WEBP"))]
    outcomes: set[str] = set()
    for i in range(600):
        content = bytearray(seeds[i % len(seeds)])
        for place in rng.integers(0, len(content), 3):
            content[place] = rng.integers(0, 256)
        try:
            image_stored = accepted(bytes(content))
            assert decoded(image_stored.content).shape == (image_stored.height, image_stored.width, 3)
            outcomes.add(image_stored.stored_as)
        except RejectedError as error:
            outcomes.add(error.reason)
    assert {"received", "reencoded", "undecodable", "truncated"} <= outcomes


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_deep_grey_is_scaled_by_the_bits_that_are_used(bits: int, kind: str) -> None:
    grey = picture(3)[..., 0]
    deep = (grey.astype(np.uint16) << (bits - 8)) | ((1 << (bits - 8)) - 1)
    assert (decoded(accepted(encoded(Image.fromarray(deep), kind)).content)[..., 0] == grey).all()


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("alpha", [False, True])
def test_deep_colours_are_scaled_by_the_bits_that_are_used(bits: int, suffix: str, alpha: bool) -> None:  # noqa: FBT001
    colours = picture(3)
    deep = (colours.astype(np.uint16) << (bits - 8))[..., ::-1]
    if alpha:
        deep = np.dstack([deep, np.full(deep.shape[:2], (1 << bits) - 1, np.uint16)])
    done, content = cv2.imencode(suffix, deep)
    assert done
    assert (decoded(accepted(content.tobytes()).content) == colours).all()


def test_a_deep_picture_that_uses_all_its_bits_loses_the_low_ones_only() -> None:
    levels = np.array([[0, 255, 256, 4095, 4096, 65_535]], np.uint16)
    assert decoded(accepted(encoded(Image.fromarray(levels), "PNG")).content)[0, :, 0].tolist() == [
        0,
        0,
        1,
        15,
        16,
        255,
    ]


@pytest.mark.parametrize("level", [0, 1, 128, 255])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_that_is_alike_everywhere_hides_nothing(level: int, kind: str) -> None:
    layers = np.dstack([picture(3), np.full(picture(3).shape[:2], level, np.uint8)])
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    assert (decoded(accepted(encoded(Image.fromarray(layers), kind, **options)).content) == picture(3)).all()


def test_transparency_of_zeros_and_ones_cuts_out_as_one_of_255_does() -> None:
    alpha = np.zeros(picture(3).shape[:2], np.uint8)
    alpha[:12] = 1
    shown = decoded(accepted(encoded(Image.fromarray(np.dstack([picture(3), alpha])), "PNG")).content)
    assert (shown[:12] == picture(3)[:12]).all()
    assert (shown[12:] == 255).all()


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 150, 120)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_picture_of_one_colour_is_rejected(colour: tuple[int, int, int], kind: str) -> None:
    with pytest.raises(RejectedError) as error:
        accepted(encoded(Image.new("RGB", (16, 12), colour), kind))
    assert error.value.reason == "blank"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_frame_that_shows_anything_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (32, 24), colour) for colour in ("white", "black")]
    frames.append(Image.fromarray(picture(3)).quantize(200).convert("RGB"))
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    shown = decoded(accepted(content).content).astype(int)
    assert np.abs(shown - np.asarray(frames[2])).mean() < 4


def deep_tiff(pixels: np.ndarray[Any, np.dtype[np.uint16]], orientation: int) -> bytes:
    """Write a plain TIFF of 16-bit colours, shape (height, width, 3)."""
    height, width, _ = pixels.shape
    tags = [(256, 3, width), (257, 3, height), (258, 3, None), (259, 3, 1), (262, 3, 2), (273, 4, None)]
    tags += [(274, 3, orientation), (277, 3, 3), (278, 3, height), (279, 4, pixels.nbytes)]
    beyond = 8 + 2 + 12 * len(tags) + 4
    places = {258: beyond, 273: beyond + 6}
    entries = [
        struct.pack("<HHI", tag, kind, 3 if tag == 258 else 1)
        + (struct.pack("<I", places[tag]) if value is None else struct.pack("<I", value))
        for tag, kind, value in tags
    ]
    directory = struct.pack("<H", len(tags)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<3H", 16, 16, 16) + pixels.astype("<u2").tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_colours_of_a_tiff_are_upright(orientation: int) -> None:
    deep = picture(3).astype(np.uint16) * 257
    plain = encoded(Image.fromarray(picture(3)), "TIFF", tiffinfo={274: orientation})
    expected = decoded(accepted(plain).content)
    assert (decoded(accepted(deep_tiff(deep, orientation)).content) == expected).all()
