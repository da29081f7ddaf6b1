"""What the evaluations share: the converged twin of a video, attributes of their fields, ratios between estimators."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from phasemill.transport.datasets.videos import Row
from phasemill.transport.evaluate.amortised import Amortised, attention_gain
from phasemill.transport.evaluate.scoring import converged, inherited, mae, word

ATTRS = {"dx": 0.5, "dt": 0.005, "save_every": 50, "digest": "abc", "equation": "d phi/dt = kappa lap phi", "seed": 3}


@pytest.mark.parametrize("direction", [1, -1])
def test_converged_twin_of_a_wave_decays_exponentially(direction: int) -> None:
    """Its eigenvalue is 16 sin^2(pi 2 / 16); explicit Euler would give (1 - kappa dt lambda)^50 per frame."""
    wave = np.cos(2 * np.pi * 2 * np.arange(16) / 16)[:, None] * np.ones(16)
    kappa, rate = 0.4, 16 * np.sin(np.pi * 2 / 16) ** 2
    exact = 0.5 + wave * np.exp(-kappa * rate * 0.25 * np.arange(4))[:, None, None]
    made = np.concatenate([exact[:1], np.zeros((3, 16, 16))]).astype(np.float32)[::direction]
    twin = converged(Row(7, direction, kappa, made, 1), xr.Dataset(attrs=ATTRS))
    assert twin.frames.dtype == np.float32
    np.testing.assert_allclose(twin.frames[::direction], exact, atol=1e-6)
    assert (twin.base, twin.direction, twin.kappa) == (7, direction, kappa)


def test_fields_inherit_what_they_share_with_their_source() -> None:
    found = inherited(xr.Dataset(attrs=ATTRS), "Fields", stencil="mirrored")
    assert found == {
        **{"equation": "d phi/dt = kappa lap phi", "dx": 0.5, "dt": 0.005, "save_every": 50},
        **{"source_digest": "abc", "title": "Fields", "stencil": "mirrored"},
    }
    assert inherited(xr.Dataset(attrs=ATTRS), "Fields", equation="other")["equation"] == "other"


def test_a_label_becomes_one_word() -> None:
    assert word("direct, K = 50") == "direct_K_=_50"


def test_mean_error_of_a_regime() -> None:
    assert mae({"all": {"mae": 0.2}, "mobility": {"mae": 0.3}}, "mobility") == 0.3


def test_attention_is_compared_with_mean_pooling() -> None:
    def scores(group: str, name: str, error: float) -> dict[str, object]:
        return {"group": group, "name": name, "clean": {"mae": error}, "noisy": {"mae": 3 * error}}

    variants = [scores("pooled", "attention", 0.1), scores("pooled", "mean_pooling", 0.15)]
    assert attention_gain(Amortised([], variants, 0.0, {}), "pixels", "noisy") == pytest.approx(1.5)
