"""The transformer's config, and a smaller one trained on the synthetic microscope: the loss falls, the run loads."""

from pathlib import Path

import jax
import numpy as np
import optax

import jaxdiff as jd
from jaxdiff.config import load_config
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.sources.synthetic import Microscope
from jaxdiff.loading import load
from jaxdiff.training import Stratified

CONFIG = Path(__file__).parents[2] / "configs" / "bbbc039_64_dit.py"


def test_a_transformer_learns_the_synthetic_microscope_and_its_run_loads(tmp_path):
    config = load_config(CONFIG)
    assert config.network == jd.DiT.S(patch_size=4)
    network = config.network.clone(width=32, blocks=2, head_size=16, patch_size=2)
    images = np.asarray(Microscope().fields(jax.random.key(0), 32, (8, 8)).image, np.float32)
    normaliser = Normaliser.fit(images)
    training = normaliser.forward(images)

    loss = jd.DenoisingLoss(lam_sampler=Stratified(config.schedule), predicts=config.predicts)
    optimizer = optax.adam(3e-3)
    state = jd.TrainState.create(jax.random.key(0), network, optimizer, {"image": training[:1]})
    step = jd.make_train_step(loss, optimizer)
    losses = []
    for _ in range(60):
        state, metrics = step(state, {"image": training}, jax.random.key(1))
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])

    told = dict(shape=(8, 8, 1), predicts=config.predicts, schedule=config.schedule, normaliser=normaliser)
    jd.save_run(state, network, tmp_path / "run", **told)
    assert load(tmp_path / "run").network == network
