from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from pipeline.core.errors import UserError
from pipeline.core.shards import Pixels
from pipeline.stages.embed.encoders import Spec, load
from pipeline.stages.embed.encoding import encode
from pipeline.stages.embed.layers import check_layers, skip_unused_tokens
from pipeline.stages.ingest.tables import Images, open_pixels
from tests.drawn import ingest, jpeg, lesion
from tests.networks import CLIP, save_clip, save_timm, small_clip

Make = Callable[[Path], Spec]


def pictures(root: Path, count: int = 5) -> Pixels:
    shapes = [(200, 150), (150, 200), (64, 64)]
    contents = {}
    for i in range(count):
        width, height = shapes[i % len(shapes)]
        contents[f"{i}.jpg"] = jpeg(lesion(i, width=width, height=height))
    store = ingest(root, contents)
    return open_pixels(store, store.read(Images, "demo"))


def vit(root: Path, *, precision: str = "fp32") -> Spec:
    save_timm(root / "vit.safetensors")
    return Spec("timm", "test_vit", root / "vit.safetensors", precision, "cpu", None)


def clip(root: Path, *, precision: str = "fp32") -> Spec:
    save_clip(root)
    return Spec("open_clip", CLIP, root / "clip.safetensors", precision, "cpu", None)


@pytest.mark.parametrize("make", [vit, clip])
def test_every_image_gets_a_float32_vector_of_unit_norm(tmp_path: Path, make: Make) -> None:
    vectors = encode(pictures(tmp_path), make(tmp_path), batch_size=2).vectors
    assert vectors.dtype == np.float32
    assert len(vectors) == 5
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert len(np.unique(vectors.round(4), axis=0)) == 5


@pytest.mark.parametrize("make", [vit, clip])
def test_vectors_do_not_depend_on_the_batch_size(tmp_path: Path, make: Make) -> None:
    pixels, spec = pictures(tmp_path), make(tmp_path)
    spec = replace(spec, layers=(0,))
    one, five = (encode(pixels, spec, batch_size=size) for size in (1, 5))
    assert np.allclose(one.vectors, five.vectors, atol=1e-5)
    assert np.allclose(one.features, five.features, atol=1e-2)  # half precision


def test_the_same_pictures_give_the_same_bytes(tmp_path: Path) -> None:
    pixels, spec = pictures(tmp_path), clip(tmp_path)
    assert pickle.dumps(encode(pixels, spec, batch_size=2)) == pickle.dumps(encode(pixels, spec, batch_size=2))


def test_an_open_clip_encoder_does_what_open_clip_does(tmp_path: Path) -> None:
    pixels, spec = pictures(tmp_path), clip(tmp_path)
    network = small_clip(tmp_path)
    _, _, transform = open_clip.create_model_and_transforms(CLIP, load_weights=False)
    batch = torch.stack([transform(Image.fromarray(pixels[i])) for i in range(5)])
    with torch.inference_mode():
        expected = network.encode_image(batch, normalize=True).numpy()
    assert np.allclose(encode(pixels, spec, batch_size=3).vectors, expected, atol=1e-5)


def test_a_timm_encoder_yields_the_features_before_the_classifier(tmp_path: Path) -> None:
    pixels, spec = pictures(tmp_path), vit(tmp_path)
    network = save_timm(tmp_path / "again.safetensors")
    batch = torch.stack([load(spec).transform(Image.fromarray(pixels[i])) for i in range(5)])
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(network.forward_head(network.forward_features(batch), pre_logits=True))
    assert np.allclose(encode(pixels, spec, batch_size=3).vectors, expected.numpy(), atol=1e-5)


def tokens_after(blocks: Iterable[torch.nn.Module], look: Callable[[], object]) -> list[torch.Tensor]:
    """Collect what blocks yield while a network looks."""
    seen: list[torch.Tensor] = []
    handles = [block.register_forward_hook(lambda _block, _input, output: seen.append(output)) for block in blocks]
    look()
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize(("make", "blocks"), [(vit, "blocks"), (clip, "transformer.resblocks")])
def test_layers_are_the_class_token_and_the_mean_patch_of_blocks(tmp_path: Path, make: Make, blocks: str) -> None:
    pixels, plain = pictures(tmp_path), make(tmp_path)
    spec = replace(plain, layers=(0, 1))
    encoded, encoder = encode(pixels, spec, batch_size=3), load(spec)
    batch = torch.stack([encoder.transform(Image.fromarray(pixels[i])) for i in range(5)])
    with torch.inference_mode():
        seen = tokens_after(encoder.network.get_submodule(blocks)[:2], lambda: encoder.network(batch))
    expected = [part for tokens in seen for part in (tokens[:, 0], tokens[:, 1:].mean(1))]
    assert encoded.features.dtype == np.float16
    assert np.allclose(encoded.features, torch.cat(expected, 1).numpy(), atol=1e-2)
    assert np.allclose(encoded.vectors, encode(pixels, plain, batch_size=3).vectors, atol=1e-5), "layers change nothing"


def test_what_half_precision_cannot_hold_is_cut_off(tmp_path: Path) -> None:
    spec = replace(clip(tmp_path), layers=(0,))
    load(spec).network.transformer.resblocks[0].register_forward_hook(lambda _block, _input, tokens: tokens * 1e9)
    try:
        found = encode(pictures(tmp_path), spec, batch_size=5).features
    finally:
        load.cache_clear()
    assert np.isfinite(found).all()
    assert np.abs(found).max() == np.finfo(np.float16).max


def test_without_layers_none_are_kept(tmp_path: Path) -> None:
    assert encode(pictures(tmp_path), clip(tmp_path), batch_size=2).features.shape == (5, 0)


def test_layers_that_the_network_does_not_have_are_refused(tmp_path: Path) -> None:
    for make in (vit, clip):
        with pytest.raises(UserError, match=r"layers are \[1, 99\]: the network's are 0 to \d+"):
            load(replace(make(tmp_path), layers=(1, 99)))
    save_timm(tmp_path / "flat.safetensors", model="test_efficientnet")
    with pytest.raises(UserError, match=r"layers are \[0, 5\]: the network's are 0 to 4"):
        load(Spec("timm", "test_efficientnet", tmp_path / "flat.safetensors", "fp32", "cpu", None, (0, 5)))
    with pytest.raises(UserError, match=r"layers are \[0\], and this network shows none"):
        check_layers(torch.nn.Identity(), (0,))


def test_the_last_block_is_spared_for_a_class_token_only(tmp_path: Path) -> None:
    network = small_clip(tmp_path).visual
    network.pool_type = "avg"
    before = network.transformer.resblocks[-1]
    skip_unused_tokens(network)
    assert network.transformer.resblocks[-1] is before


def processor_with(monkeypatch: pytest.MonkeyPatch, **instructions: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, **instructions})
    load.cache_clear()


def test_a_precision_that_the_processor_only_emulates_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor_with(monkeypatch)
    load(vit(tmp_path, precision="fp32"))
    with pytest.warns(UserWarning, match="bf16, which this device only emulates"):
        load(vit(tmp_path, precision="bf16"))
    processor_with(monkeypatch, avx512_bf16=True)
    load(vit(tmp_path, precision="bf16"))  # a warning fails a test


def test_bfloat16_stays_close_to_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processor_with(monkeypatch, amx_bf16=True)
    pixels = pictures(tmp_path)
    exact, rough = (encode(pixels, clip(tmp_path, precision=p), batch_size=5).vectors for p in ("fp32", "bf16"))
    cosines = (exact * rough).sum(axis=1)
    assert not np.array_equal(exact, rough)
    assert cosines.min() > 0.999


def test_a_network_is_loaded_once_for_many_pieces(tmp_path: Path) -> None:
    pixels, spec = pictures(tmp_path), vit(tmp_path)
    load.cache_clear()
    for i in range(3):
        encode(pixels.take([i]), spec, batch_size=1)
    assert load.cache_info().misses == 1


@pytest.mark.parametrize("library", ["open_clip", "timm"])
def test_an_unknown_network_is_refused(tmp_path: Path, library: str) -> None:
    with pytest.raises(UserError, match=f"{library} has no model nonesuch"):
        load(Spec(library, "nonesuch", tmp_path / "w.safetensors", "fp32", "cpu", None))


def test_weights_of_another_network_are_refused_not_used(tmp_path: Path) -> None:
    spec = vit(tmp_path)
    with pytest.raises(UserError, match="holds weights of timm/test_vit, not of timm/test_vit2"):
        load(Spec("timm", "test_vit2", spec.weights, "fp32", "cpu", None))


def test_cuda_is_refused_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    spec = vit(tmp_path)
    with pytest.raises(UserError, match="no CUDA device is available: set it to auto or cpu"):
        load(Spec("timm", "test_vit", spec.weights, "fp32", "cuda", None))


def test_another_side_interpolates_the_position_embeddings(tmp_path: Path) -> None:
    pixels, spec = pictures(tmp_path), clip(tmp_path)
    native = load(spec).network
    side, patch = native.image_size[0], native.patch_size[0]
    same = encode(pixels, replace(spec, side_pixels=side), batch_size=2).vectors
    assert np.allclose(same, encode(pixels, spec, batch_size=2).vectors, atol=1e-5), "the native side changes nothing"
    smaller = load(replace(spec, side_pixels=side // 2)).network
    assert len(smaller.positional_embedding) == 1 + (side // 2 // patch) ** 2
    assert encode(pixels, replace(spec, side_pixels=side // 2), batch_size=2).vectors.shape == same.shape


@pytest.mark.parametrize(("make", "side"), [(vit, 64), (clip, 37)])
def test_a_side_that_the_network_cannot_take_is_refused(tmp_path: Path, make: Make, side: int) -> None:
    with pytest.raises(UserError, match="side_pixels"):
        load(replace(make(tmp_path), side_pixels=side))
