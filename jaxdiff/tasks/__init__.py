"""What a microscopist asks for: a trained run in, files of images out."""

from jaxdiff.tasks.generate import Generate as Generate
from jaxdiff.tasks.generate import generate as generate
