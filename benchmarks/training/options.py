"""What `python -m benchmarks.training` measures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What is measured."""

    torch_python: str | None = None
    """Python of the environment with torch, diffusers and safetensors; none: the loop alone."""
    networks: tuple[str, ...] = ("own_64", "cifar_32")
    """Of `benchmarks.peers.networks.NETWORKS`."""
    batch: int | None = None
    """Images a step; default the network's own for a GPU or a CPU."""
    steps: int = 3
    """In one turn."""
    rounds: int = 5
    """Turns of each side."""
    loop_rounds: int = 20
    """Turns of the loop and the bare step."""
    compiled: bool = True
    """Also `torch.compile`."""
    loop: bool = True
    """Also the loop against the bare step."""
    profile: bool = True
    """Also where a step's time goes."""
    remat: bool = True
    """Also what rematerialisation costs and saves."""
    cores: int | None = None
    """CPU cores for every side; default all that this process may use."""
