"""Guidance: functions from a denoiser to a denoiser."""

from jaxdiff.guidance.adaptive_projected import AdaptiveProjected as AdaptiveProjected
from jaxdiff.guidance.adaptive_projected import adaptive_projected as adaptive_projected
from jaxdiff.guidance.autoguidance import Autoguidance as Autoguidance
from jaxdiff.guidance.autoguidance import autoguidance as autoguidance
from jaxdiff.guidance.classifier_free import ClassifierFree as ClassifierFree
from jaxdiff.guidance.classifier_free import Guidance as Guidance
from jaxdiff.guidance.classifier_free import classifier_free as classifier_free
from jaxdiff.guidance.planes import Planes as Planes
from jaxdiff.guidance.remembering import Remembering as Remembering
from jaxdiff.guidance.windowed import Windowed as Windowed
from jaxdiff.guidance.windowed import windowed as windowed
