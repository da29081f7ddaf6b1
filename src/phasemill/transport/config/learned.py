"""Estimators that are trained on many videos: the paper's, and the spectral tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasemill.core.blocks import Block, Count, Job, Positive, Range

Features = Annotated[int, Field(ge=4, multiple_of=4, description="length d of the feature vector; 4 attention heads")]


class Estimator(Block):
    """Autoencoder and attention estimator of the coefficient (SAFE-PIT-CM, section 2.3)."""

    channels: Count = Field(description="channels of encoder and decoder")
    features: Features


class LossWeights(Block):
    """Weights of eq. 8."""

    safe: float = Field(ge=0)
    reconstruction: float = Field(ge=0)
    identity: float = Field(ge=0)
    bounds: float = Field(ge=0)


class EstimatorTraining(Block):
    """Two-phase training of the estimator (section 2.6)."""

    epochs: Count
    phase_one: float = Field(ge=0, le=1, description="share of the epochs with frozen encoder and decoder")
    batch: Count = Field(description="videos per step")
    frames: int = Field(ge=3, description="frames of a video that are used, evenly spaced")
    learning_rate_estimator: Positive
    learning_rate_autoencoder: Positive
    plateau_factor: float = Field(gt=0, lt=1)
    plateau_patience: Count = Field(description="validations without gain before the learning rate drops")
    patience: Count = Field(description="validations without gain before training stops")
    kappa: Range = Field(description="bounds of eq. 12")
    weights: LossWeights


class Schedule(Block):
    """Training of a group of estimators side by side."""

    frames: int = Field(ge=3, description="frames of a video that are used, evenly spaced")
    epochs: Count
    batch: Count = Field(description="videos per step")
    learning_rate: Positive = Field(description="its highest value, after the warm-up")


class Tokens(Block):
    """Amortised estimators: from spectra of frames, and the paper's from pooled frames, each in several variants."""

    features: Features
    noise: Positive = Field(description="standard deviation of the noise for training with it and for scoring")
    spectral: Schedule
    pooled: Schedule


class Trained(Block):
    """Recovery with the trained estimator."""

    test_time_steps: int = Field(ge=0, description="steps of test-time training per held-out video")
    field_frames: int = Field(ge=2, description="frames per simulation kept in fields.zarr, evenly spaced")


class EstimatorJob(Job):
    """Train the estimator."""

    verb = "train"
    function = "phasemill.transport.train.estimator:train"
    benchmark = "transport_trained"

    estimator: Estimator
    training: EstimatorTraining


class TokensJob(Job):
    """Train the amortised estimators, all variants at once."""

    verb = "train"
    function = "phasemill.transport.train.tokens:train"
    benchmark = "transport_trained"
    model = "tokens.safetensors"

    tokens: Tokens


class TrainedJob(Job):
    """Evaluate the trained estimator, before and after test-time training."""

    verb = "evaluate"
    function = "phasemill.transport.evaluate.trained:trained"
    drawing = "phasemill.transport.figures.trained:trained"

    estimator: Estimator
    training: EstimatorTraining
    tokens: Tokens
    trained: Trained
