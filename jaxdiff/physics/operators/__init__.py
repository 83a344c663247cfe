"""Linear operators A of the microscope, on one example x (*spatial, C): A(x), A.adjoint(y), norms, and products A @ B.

They are matrix-free and trees of arrays: PSFs and masks are data of a jitted program, and another one is no new trace.
"""

from jaxdiff.physics.operators.base import LinearOperator as LinearOperator
from jaxdiff.physics.operators.base import Product as Product
from jaxdiff.physics.operators.base import operator_norm as operator_norm
from jaxdiff.physics.operators.bin import Bin as Bin
from jaxdiff.physics.operators.convolution import Convolution as Convolution
from jaxdiff.physics.operators.crop import Crop as Crop
from jaxdiff.physics.operators.diagonal import Diagonal as Diagonal
from jaxdiff.physics.operators.diagonal import Mask as Mask
from jaxdiff.physics.operators.slices import Slices as Slices
