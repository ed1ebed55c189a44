"""PWC-Net: parity with the reference network's outputs, the public names, early stop, precision, and learning."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mudar.errors import CardInvalid
from mudar.features.flow import PwcFlow, make_flow
from mudar.model.pwcnet import (
    PwcNet,
    as_input,
    flow_between_neighbours,
    import_public,
    load_public,
    rename_public,
)
from mudar.model.pyramid import PyramidEncoder
from mudar.spec import VideoSpec

pytestmark = pytest.mark.slow

SHARED_FLOW = Path(__file__).parents[4] / "shared" / "flow"

# Written out here from the published description, so that the test does not ask the code for its own names.
CHANNELS = {1: 16, 2: 32, 3: 64, 4: 96, 5: 128, 6: 196}
DECODER_INPUTS = {6: 81, 5: 213, 4: 181, 3: 149, 2: 117}


GOLDEN_NORMS = [20.3266, 5.4552, 1.2652, 0.596, 0.0942]  # of the flows of level 2 to 6


def public_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs, 3, 3), (outputs,)

    def transposed(name: str, inputs: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (inputs, 2, 4, 4), (2,)

    inputs = 3
    for level, outputs in CHANNELS.items():
        strided, second = ("aa", "a") if level == 6 else ("a", "aa")
        for letter, channels in ((strided, inputs), (second, outputs), ("b", outputs)):
            convolution(f"conv{level}{letter}.0", channels, outputs)
        inputs = outputs
    for level, channels in DECODER_INPUTS.items():
        for index, outputs in enumerate((128, 128, 96, 64, 32)):
            convolution(f"conv{level}_{index}.0", channels, outputs)
            channels += outputs
        convolution(f"predict_flow{level}", channels, 2)
        transposed(f"deconv{level}", 2)
        if level > 2:
            transposed(f"upfeat{level}", channels)
    for index, (channels, outputs) in enumerate(
        [(565, 128), (128, 128), (128, 128), (128, 96), (96, 64), (64, 32)], start=1
    ):
        convolution(f"dc_conv{index}.0", channels, outputs)
    convolution("dc_conv7", 32, 2)
    return shapes


def public_weights() -> dict[str, Tensor]:
    """Random weights that depend on each key's public name alone, well scaled so that flows stay of order 1."""
    state: dict[str, Tensor] = {}
    for key, shape in public_shapes().items():
        rng = np.random.default_rng(zlib.crc32(key.encode()))
        if len(shape) == 1:
            value = rng.standard_normal(shape) * 0.02
        else:
            fan = shape[0] * 4 if key.startswith(("deconv", "upfeat")) else shape[1] * 9
            gain = 6.0 if key.startswith(("predict", "dc_conv7")) else 0.9
            value = rng.standard_normal(shape) * np.sqrt(2 / fan) * gain
        state[key] = torch.from_numpy(value.astype(np.float32))
    return state


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return rename_public(public_weights())


@pytest.fixture(scope="module")
def net(state: dict[str, Tensor]) -> PwcNet:
    return PwcNet.from_state(state).eval()


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 3, 16, 32), dtype=np.float32))
    first = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear")
    return first, torch.roll(first, (1, 2), (2, 3))


def test_parameter_counts_of_the_shipped_network(net: PwcNet) -> None:
    def count(module: torch.nn.Module | None) -> int:
        assert module is not None
        return sum(p.numel() for p in module.parameters())

    assert count(net) == 9_374_340
    assert count(net.pyramid) == 1_665_804
    decoders = {int(level): count(decoder) for level, decoder in net.decoders.items()}
    assert decoders == {6: 1_044_760, 5: 1_583_584, 4: 1_452_960, 3: 1_322_336, 2: 1_173_630}
    assert count(net.context) == 1_131_266


@pytest.mark.skipif(not SHARED_FLOW.is_dir(), reason="the reference network's outputs are not here")
def test_parity_with_the_reference_on_all_levels(net: PwcNet) -> None:
    known = np.load(SHARED_FLOW / "parity_random_weights_256.npz")
    first, second = (as_input(known[name].reshape(1, 256, 256, 3)[..., ::-1]) for name in ("im1_bgr", "im2_bgr"))
    with torch.inference_mode():
        flows = net(first, second)
        encoded = net.pyramid(first)[-1]
    for level, flow in zip(range(2, 7), flows, strict=True):
        np.testing.assert_allclose(flow.numpy(), known[f"flow{level}"].reshape(flow.shape), atol=1e-4)
    np.testing.assert_allclose(encoded.numpy(), known["enc6_im1"].reshape(encoded.shape), atol=1e-4)


def test_golden_values(net: PwcNet, pair: tuple[Tensor, Tensor]) -> None:
    """Recorded when parity with the reference held; keeps it where the reference's outputs are missing."""
    with torch.inference_mode():
        flows = net(*pair)
    norms = [float(flow.norm()) for flow in flows]
    assert [tuple(flow.shape[1:]) for flow in flows] == [(2, 64 // 2**s, 128 // 2**s) for s in range(2, 7)]
    np.testing.assert_allclose(norms, GOLDEN_NORMS, rtol=1e-3)


@pytest.mark.parametrize("level", [3, 4])
def test_an_early_stop_gives_the_whole_networks_flow_of_that_level(
    level: int, net: PwcNet, state: dict[str, Tensor], pair: tuple[Tensor, Tensor]
) -> None:
    stopped = PwcNet.from_state(state, stop_level=level).eval()
    assert sum(p.numel() for p in stopped.parameters()) < 9_374_340 - 2_000_000
    with torch.inference_mode():
        torch.testing.assert_close(stopped(*pair), net(*pair)[level - 2 :])


def test_bfloat16_and_channels_last_stay_close(
    net: PwcNet, state: dict[str, Tensor], pair: tuple[Tensor, Tensor]
) -> None:
    with torch.inference_mode():
        expected = net(*pair)[1]
        last = PwcNet.from_state(state, 3).eval().to(memory_format=torch.channels_last)
        first, second = (image.to(memory_format=torch.channels_last) for image in pair)
        torch.testing.assert_close(last(first, second)[0], expected, atol=1e-4, rtol=1e-4)
        half = last.bfloat16()(first.bfloat16(), second.bfloat16())[0]
    assert half.dtype == torch.bfloat16
    assert float((half.float() - expected).norm() / expected.norm()) < 0.05


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_public_checkpoint_file_loads(tmp_path: Path, state: dict[str, Tensor], prefix: str, wrapped: bool) -> None:
    weights = {prefix + key: value for key, value in public_weights().items()}
    path = tmp_path / "pwc_net.pth.tar"
    # The public file is of torch's old format.
    torch.save({"state_dict": weights} if wrapped else weights, path, _use_new_zipfile_serialization=False)
    imported = import_public(path)
    assert imported.keys() == PwcNet().state_dict().keys()
    assert all(torch.equal(imported[key], state[key]) for key in state)


def test_level_6_of_the_public_names_has_its_first_two_swapped() -> None:
    names = rename_public({"conv6aa.0.bias": torch.zeros(1), "conv6a.0.bias": torch.ones(1)})
    assert names == {"pyramid.levels.5.0.0.bias": torch.zeros(1), "pyramid.levels.5.1.0.bias": torch.ones(1)}
    assert list(rename_public({"conv5aa.0.bias": torch.ones(1)})) == ["pyramid.levels.4.1.0.bias"]


def test_other_files_are_refused(tmp_path: Path) -> None:
    text, other, part, bare = (tmp_path / name for name in ("a.pth", "b.pth", "c.pth", "d.pth"))
    text.write_text("not a checkpoint")
    torch.save({"fc.weight": torch.zeros(1)}, other)
    torch.save({k: v for k, v in public_weights().items() if not k.startswith("dc_conv")}, part)
    torch.save(torch.zeros(3), bare)
    for path, reason in ((text, "safely"), (other, "fc.weight"), (part, "missing"), (bare, "by name")):
        with pytest.raises(CardInvalid, match=reason):
            load_public(path)


def test_sides_that_do_not_fit_are_refused(net: PwcNet) -> None:
    with pytest.raises(ValueError, match="multiples of 64"):
        net(torch.zeros(1, 3, 64, 100), torch.zeros(1, 3, 64, 100))


def test_frames_to_flow_is_the_network_in_pixels_of_its_grid(tmp_path: Path, state: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    save_file(state, tmp_path / "pwc.safetensors")
    flow = make_flow(VideoSpec(flow="pwcnet", flow_size_px=64, pwcnet_stop_level=3), tmp_path / "pwc.safetensors")
    assert isinstance(flow, PwcFlow)
    frames = np.random.default_rng(1).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    sequence = flow.sequence(frames)
    assert sequence.shape == (3, 8, 8, 2)
    for index in range(3):
        np.testing.assert_allclose(flow(frames[index], frames[index + 1])[0], sequence[index], atol=1e-3)
    pictures = torch.from_numpy(frames[..., [2, 1, 0]].transpose(0, 3, 1, 2).copy()) / 255  # BGR
    with torch.inference_mode():
        expected = PwcNet.from_state(state, 3).eval()(pictures[:1], pictures[1:2])[0]
    np.testing.assert_allclose(sequence[0].transpose(2, 0, 1), expected[0].numpy() * 20 / 8, atol=1e-3)
    (gray,) = flow(frames[0, ..., 0], frames[1, ..., 0])
    assert gray.shape == (8, 8, 2)


def test_it_learns_the_shift_of_one_pair() -> None:
    """A few steps on one pair of pictures bring the flow to the known shift: gradients reach everything."""
    torch.manual_seed(0)
    net = PwcNet(stop_level=5)
    coarse = torch.rand(1, 3, 16, 16)
    first = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic")
    second = torch.roll(first, (0, 4), (2, 3))
    target = torch.tensor([4.0, 0.0])[None, :, None, None] / 20
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for _ in range(20):
        loss = sum((flow - target).square().mean() for flow in net(first, second))
        assert isinstance(loss, Tensor)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    unused = {"decoders.5.up_flow", "decoders.5.up_features"}
    silent = [n for n, p in net.named_parameters() if p.grad is None and n.rpartition(".")[0] not in unused]
    assert silent == []
    assert losses[-1] < 0.4 * losses[0]


def test_the_pyramid_stands_alone_with_other_channels() -> None:
    encoder = PyramidEncoder(channels=(8, 12, 16))
    maps = encoder(torch.rand(2, 3, 48, 32))
    assert [tuple(m.shape) for m in maps] == [(2, 8, 24, 16), (2, 12, 12, 8), (2, 16, 6, 4)]


def test_flow_between_neighbours_is_the_same_in_one_batch_or_many(net: PwcNet, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.random.default_rng(2).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    at_once = flow_between_neighbours(net, frames)
    monkeypatch.setattr("mudar.model.pwcnet._PAIRS_AT_ONCE", 2)
    np.testing.assert_allclose(flow_between_neighbours(net, frames), at_once, atol=1e-3)
