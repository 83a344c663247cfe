"""Run by test_devices.py in a process with eight host devices; prints what it saw as JSON."""

import json
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
from random_variables import random_variables

import jaxdiff as jd

SHAPE = (8, 8, 1)
COLLECTIVES = re.compile(r"all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter|collective-broadcast")
CALLBACK = re.compile(r"callback", re.IGNORECASE)

network = jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(True,), head_size=8, num_classes=4)
example = (jnp.zeros((1, *SHAPE)), jnp.zeros(1), {"label": jnp.zeros(1, jnp.int32)})
denoise = jd.bind(network, random_variables(network, *example))

module = sys.modules["jaxdiff.sampling.sample"]
program, seen = module.program, []


def recording(*args):
    solved, finite = program(*args)
    seen.append((args, len(solved.image.sharding.device_set)))
    return solved, finite


module.program = recording


def run(num=24, batch=2, devices=None, first=0, labels=None):
    """Images of classes 0, 1, 2, 3, 0, … unless `labels` says otherwise."""
    mesh = devices and jax.make_mesh((devices,), ("image",), devices=jax.devices()[:devices])
    labels = (first + np.arange(num)) % 4 if labels is None else labels
    return np.asarray(
        jd.sample(
            jax.random.key(5),
            denoise,
            shape=SHAPE,
            num=num,
            batch=batch,
            first=first,
            mesh=mesh,
            solver=jd.DPMpp(order=2, eta=1.0),
            grid=np.linspace(-4.0, 2.0, 4),
            cond={"label": jnp.asarray(labels, jnp.int32)},
        ).images
    )


def bits(a, b) -> bool:
    return a.tobytes() == b.tobytes()


base = run()
mates = np.arange(24) % 4
mates[1::2] = -1
report = {
    "spread": float(base.std(0).min()),
    "num": bits(run(num=5), base[:5]),
    "first": bits(run(num=5, first=5), base[5:10]),
    "mates": bits(run(labels=mates)[::2], base[::2]),
    "eight_devices": bits(run(devices=8), base),
    "eight_devices_padded": bits(run(num=11, devices=8), base[:11]),
    "other_batch": float(np.abs(run(num=8, batch=8) - base[:8]).max()),
}
args, report["devices_of_output"] = next(entry for entry in seen if entry[1] == 8)
text = program.lower(*args).compile().compiled.as_text()
report["collectives"], report["callbacks"] = COLLECTIVES.findall(text), CALLBACK.findall(text)
report["convolutions"] = len(re.findall(r"convolution|__onednn|dot\(", text))

# The search finds what it looks for.
mesh = jax.make_mesh((8,), ("image",))
split = jax.device_put(jnp.ones((8, 2)), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("image")))


def talking(x):
    jax.debug.callback(lambda: None)
    return x.sum()


text = jax.jit(talking).lower(split).compile().as_text()
report["control"] = bool(COLLECTIVES.search(text)) and bool(CALLBACK.search(text))
print(json.dumps(report))
