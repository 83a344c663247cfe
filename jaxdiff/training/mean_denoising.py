"""Few-step training: the network learns X, the mean of D over a step, besides D.

With ρ = α/σ and y = x/σ the probability flow is dy/dρ = D, and X(x, λ, λ') is the mean of D over ρ along it, so that DDIM's
step with X for D is exact (`jd.MeanFlow`). In flow time t = σ/(α + σ), r = t(λ') and z = x/(α + σ), dz/dt = v = (z − D)/t,
and the derivative of X's definition along the flow is

    R = (r/t) (X − D) + (t − r) dX/dt = 0                                                                          (1)

at fixed r: MeanFlow's identity u = v − (t − r) du/dt for u = (z − X)/t, times −t. X is moved by −R, with the weight of an
error of u. For a step of 0 it is X = D, ordinary training.

From scratch D in (1) is what is being learned, X at a step of 0, and a network that is told the difference of image and D
as well, E[x0 − D | x] = 0, is held to the images everywhere:

    R = (r/t) (X − D) + (D − x0) + (t − r) dX/dt                                                                    (2)

Distilled, D is the teacher's. dX/dt of a network is rough near t = 1. With a part p of the step by D, to
s = t − p (t − r), and X of the rest, both means,

    R = X − D − (1 − p) (t/s) (X(z_s, s, r) − D) = 0,    z_s = D + (s/t) (z − D)                                   (3)

moves X to where it lies between the two; R/p is (1) as p vanishes. To the clean end, r = 0, all of them say that X is
constant along the flow and none that it is D's mean, so that r is `CLEAN` in them; the network is told the whole step.

Geng et al. 2025, arXiv 2505.13447 (MeanFlow) and arXiv 2512.02012 (the direction of dX/dt by the network's own D); a `part`
that falls: Zhang et al. 2025, arXiv 2510.20771 (AlphaFlow); `warmup` of dX/dt: Lu and Song 2024, arXiv 2410.11081.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance import classifier_free
from jaxdiff.network import applied, differentiable
from jaxdiff.nn.condition import FIELDS, KEPT, size_of
from jaxdiff.numbers import cast
from jaxdiff.predictions import PredictionKind, kind_of
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.seeds import check_key
from jaxdiff.training.lam_sampler import Stratified
from jaxdiff.training.loss import Metrics, dropped, randomness

SMALLEST = 0.05
"""Flow time below which errors of u = (z − X)/t weigh as at this one: 1/t² is without bound at the clean end."""
NOISY, LARGEST_GAIN = -6.0, 50.0
"""λ where default grids begin, and how much of an output there may become of the image before a warning says it."""
CLEAN = 0.01
"""Flow time that steps to the clean end are taken to end at, or that of the cleanest images of training: X is D there."""
SMALL = 0.01
"""Mean square of what (1) leaves below which the loss is the square of an error, whatever `power`."""


@dataclass(frozen=True, kw_only=True)
class MeanDenoising:
    """For `TrainConfig.loss`: the mean of D over steps, from scratch or from a teacher; `config.weighting` is not read.

    The network has `reads_span=True`. `init_from` with the teacher's run starts at the teacher itself.
    """

    teacher: str | None = None
    """Run folder, or name of a model that comes with jaxdiff, whose D is distilled; none: from scratch."""
    teacher_step: int | None = None
    """Of its checkpoint; none: the newest, which has to stay it."""
    guidance: tuple[float, float] = (1.0, 1.0)
    """Scales of classifier-free guidance of the teacher, drawn uniformly in their logarithm; the network is told which
    (`reads_guidance`), unless they are one."""
    no_step: float = 0.25
    """Fraction of examples whose step is 0: X = D."""
    to_clean: float = 0.25
    """Fraction whose step leads to the clean end, as the last of a run does."""
    power: float = 0.5
    """p of the weight 1/(|e|² + 0.01)^p of an example, e what (1) leaves of it; 0: none, 1: errors of all sizes weigh alike.
    From scratch e is without the difference of image and D: weighed by that, D would not be the mean of images."""
    part: float = 0.05
    """Of a step, that D is followed for; X is what that and X of the rest make, (3). 0: its limit, (1) and (2)."""
    warmup: int = 0
    """Steps over which it begins: `part` falls from 1, X = D for all steps; of 0 the weight of dX/dt rises from 0 to 1, which
    does not train steps to the clean end before, as without dX/dt they weigh r/t = 0."""

    def __post_init__(self):
        shares = self.no_step, self.to_clean
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(
                f"got no_step={self.no_step}, to_clean={self.to_clean}; expected fractions whose sum is at most 1; to fix: "
                "0.25 and 0.25"
            )
        if not 0 <= self.power <= 1 or not 0 <= self.part <= 1 or self.warmup < 0:
            raise ValueError(
                f"got power={self.power}, part={self.part}, warmup={self.warmup}; expected 0 to 1, 0 to 1 and 0 or more; to "
                "fix: 0.5, 0.05, 0"
            )
        low, high = self.guidance
        if not 1 <= low <= high <= 20:
            raise ValueError(
                f"got guidance={self.guidance}; expected 1 <= lowest <= highest <= 20; to fix: --loss.guidance 1 4"
            )
        if self.teacher is None and (high > 1 or self.teacher_step is not None):
            raise ValueError(
                f"got guidance={self.guidance}, teacher_step={self.teacher_step} without a teacher; expected the run whose "
                "guided D is distilled; to fix: --loss.teacher runs/NAME"
            )

    def build(self, config: Any) -> "MeanDenoisingLoss | DistilledLoss":
        """The loss of a run. Raises ValueError where the network is not told what it would have to learn."""
        ranges = self.guidance[0] < self.guidance[1]
        needs = {"reads_span": True, "reads_guidance": ranges}
        for field, needed in needs.items():
            if needed and not size_of(config.network, field):
                raise ValueError(
                    f"got MeanDenoising for a {type(config.network).__name__} without {field}; expected a network that is "
                    f"told it; to fix: {field}=True (--network.{field.replace('_', '-')})"
                )
        if size_of(config.network, "reads_guidance") and not ranges:
            raise ValueError(
                f"got guidance={self.guidance} for a {type(config.network).__name__} with reads_guidance; expected scales "
                "from one to another, which it would learn; to fix: --loss.guidance 1 4, or reads_guidance=False"
            )
        conditions = [field for name, field in FIELDS.items() if name not in KEPT and size_of(config.network, field)]
        if self.guidance[1] > 1 and not conditions:
            raise ValueError(
                f"got guidance={self.guidance} for a {type(config.network).__name__} without conditions; expected one to "
                "guide towards; to fix: guidance=(1.0, 1.0), or num_classes of a network of classes"
            )
        gain = abs(kind_of(config.predicts, config.sigma_data).to_x0(np.ones(()), x=np.zeros(()), lam=NOISY))
        if gain > LARGEST_GAIN:
            warnings.warn(
                f"got predicts={config.predicts!r} with MeanDenoising: at the noisy end, where its steps begin, an error of "
                f"the output is {gain:.0f} times as large in the image; to fix: predicts='v', whatever the teacher predicts",
                stacklevel=2,
            )
        loss = MeanDenoisingLoss(
            settings=self,
            lam_sampler=Stratified(config.schedule),
            predicts=config.predicts,
            sigma_data=config.sigma_data,
            drop_condition=config.drop_condition,
        )
        return loss if self.teacher is None else DistilledLoss(loss)


@dataclass(frozen=True, kw_only=True)
class MeanDenoisingLoss:
    """(2), of `MeanDenoising` without a teacher: a `jaxdiff.training.objective.Loss` that asks for the step.

    Example i of the global batch draws its times from (key, i, total) and the rest from `fold_in(key, i)`. In float32; dX/dt
    is a forward derivative of the network in float32 and with plain attention, whatever it is trained in.
    """

    settings: MeanDenoising
    lam_sampler: Stratified
    predicts: str | PredictionKind = "v"
    sigma_data: float = 1.0
    drop_condition: float = 0.1

    def __call__(
        self,
        network: Any,
        params: Any,
        key: PRNGKeyArray,
        batch: dict[str, Any],
        *,
        step: Any = 0,
        **options: Any,
    ) -> tuple[Float[Array, ""], Metrics]:
        return self.against(None, network, params, key, batch, step=step, **options)

    def against(
        self,
        teacher: Denoiser | None,
        network: Any,
        params: Any,
        key: PRNGKeyArray,
        batch: dict[str, Any],
        *,
        train: bool = True,
        first: Any = 0,
        total: int | None = None,
        step: Any = 0,
    ) -> tuple[Float[Array, ""], Metrics]:
        """(1) with the teacher's D, or (2) where there is none; all else as `jaxdiff.training.objective.Loss`."""
        check_key(key)
        x0 = jnp.asarray(batch["image"], jnp.float32)
        size, settings = x0.shape[0], self.settings
        index = first + jnp.arange(size)
        key_times, key_example, key_network = jax.random.split(key, 3)
        key_kind, key_noise, key_drop, key_scale = jnp.moveaxis(
            jax.vmap(lambda i: jax.random.split(jax.random.fold_in(key_example, i), 4))(index), 1, 0
        )
        lam, r = self._steps(key_times, key_kind, index, total or size)
        eps = jax.vmap(lambda key: jax.random.normal(key, x0.shape[1:]))(key_noise)
        t, rest = jax.nn.sigmoid(-lam), jax.nn.sigmoid(lam)
        z = _scaled(rest, x0) + _scaled(t, eps)

        cond = batch.get("cond")
        if train and cond is not None and self.drop_condition > 0:
            cond = dropped(cond, jax.vmap(lambda key: jax.random.bernoulli(key, self.drop_condition))(key_drop))
        low, high = np.log(settings.guidance)
        scale = jnp.exp(low + (high - low) * jax.vmap(jax.random.uniform)(key_scale))
        told = {**(cond or {}), **({"guidance": scale - 1} if low < high else {})}
        rngs = randomness(key_network, first) if train else None
        kind = cast(kind_of(self.predicts, self.sigma_data), jnp.float32)

        def mean(network, z, lam, r):
            x = _scaled(alpha(lam) + sigma(lam), z)
            span = jax.nn.sigmoid(-lam) - r
            output = applied(network, params, x, lam, {**told, "span": span}, train=train, rngs=rngs)
            return jax.vmap(lambda output, x, lam: kind.to_x0(output, x=x, lam=lam))(output.astype(jnp.float32), x, lam)

        if teacher is None:
            D = mean(network, z, lam, t)
        else:
            D = _guided(teacher, cond, scale if high > 0 else None)(_scaled(alpha(lam) + sigma(lam), z), lam)
        D = jax.lax.stop_gradient(D.astype(jnp.float32))
        # At r = 0 nothing in (1) to (3) ties X to D: whatever is constant along the flow leaves no error.
        end = jnp.where(r > 0, r, max(CLEAN, 1 / (1 + np.exp(self.lam_sampler.schedule.lam_max))))
        risen = jnp.clip(step / settings.warmup, 0.0, 1.0) if settings.warmup else 1.0
        per, axes = 1 / jnp.maximum(t, SMALLEST), tuple(range(1, x0.ndim))
        if settings.part > 0:
            X = mean(network, z, lam, r)
            part = jnp.where(end < t, settings.part**risen, 1.0)
            s = jnp.minimum(t, t - part * (t - end))
            later = mean(network, D + _scaled(s / t, z - D), jnp.log((1 - s) / s), r)
            known = X - D - _scaled((1 - part) * t / s, later - D)
            left = known if teacher is not None else known + _scaled(part, D - x0)
            per = per / jnp.sqrt(part)
        else:
            along = _scaled(1 / t, z - D), -1 / (t * rest)  # dz/dt and dλ/dt of the flow
            X, slope = jax.jvp(lambda z, lam: mean(differentiable(network), z, lam, r), (z, lam), along)
            if differentiable(network) is not network:
                X = mean(network, z, lam, r)
            known = _scaled(jnp.minimum(end / t, 1.0), X - D) + _scaled(jnp.maximum(t - end, 0.0) * risen, slope)
            left = known if teacher is not None else known + D - x0
        # The gradient of |e|² moves X by −R: what R is made of is held fixed.
        square = jnp.mean(_scaled(per, X - jax.lax.stop_gradient(X - left)) ** 2, axis=axes)
        size_known = jax.lax.stop_gradient(jnp.mean(_scaled(per, known) ** 2, axis=axes))
        loss = jnp.mean(square / (size_known + SMALL) ** settings.power)
        return loss, {"loss": loss, "step_error": jnp.mean(square)}

    def _steps(self, key: PRNGKeyArray, key_kind: Any, index: Array, total: int) -> tuple[Array, Array]:
        """λ where each example's step begins, and the flow time where it ends."""
        key, key_other = jax.random.split(key)
        one = jax.vmap(lambda i: self.lam_sampler(key, i, total)[0])(index)
        # Spread by the batch as well, all steps of a batch would have the same two lengths.
        alone = jnp.zeros((), jnp.int32)
        other = jax.vmap(lambda i: self.lam_sampler(jax.random.fold_in(key_other, i), alone, 1)[0])(index)
        kind, settings = jax.vmap(jax.random.uniform)(key_kind), self.settings
        still, to_clean = kind < settings.no_step, kind >= 1 - settings.to_clean
        # Of two draws a step begins at the noisier; D and steps to the clean end are learned everywhere.
        lam = jnp.where(still | to_clean, one, jnp.minimum(one, other))
        end = jnp.where(still, one, jnp.where(to_clean, jnp.inf, jnp.maximum(one, other)))
        return lam, jax.nn.sigmoid(-end)


@dataclass(frozen=True)
class DistilledLoss:
    """(1), of `MeanDenoising` with a teacher, which it asks for."""

    loss: MeanDenoisingLoss

    def __call__(
        self,
        network: Any,
        params: Any,
        key: PRNGKeyArray,
        batch: dict[str, Any],
        *,
        teacher: Denoiser,
        step: Any = 0,
        **options: Any,
    ) -> tuple[Float[Array, ""], Metrics]:
        return self.loss.against(teacher, network, params, key, batch, step=step, **options)


def _guided(teacher: Denoiser, cond: PyTree, scale: Array | None) -> Callable[[Array, Array], Array]:
    """The teacher's D of a batch (x, λ), guided by a scale for each example."""
    if scale is None or cond is None:
        return lambda x, lam: jax.vmap(teacher)(x, lam, cond)
    return lambda x, lam: jax.vmap(lambda x, lam, cond, scale: classifier_free(teacher, scale)(x, lam, cond))(
        x, lam, cond, scale
    )


def _scaled(factor: Float[Array, " b"], values: Float[Array, "b *shape"]) -> Float[Array, "b *shape"]:
    return factor.reshape(-1, *(1,) * (values.ndim - 1)) * values
