"""The microscope as it is modelled: blur by the optics, binning into pixels, noise of the camera.

The functions here work on whole images (*spatial, C) in host memory, where the pairs of a task are made; each is a
linear map but for the noise, and says what its adjoint is.
"""

from jaxdiff.physics.binning import area_binning as area_binning
from jaxdiff.physics.blur import gaussian_blur as gaussian_blur
from jaxdiff.physics.camera import Camera as Camera
