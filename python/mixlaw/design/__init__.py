"""Which mixtures to begin with, and which to run next: `propose`, and the baselines of the literature."""

from mixlaw.design.baselines import temperature_mixture as temperature_mixture
from mixlaw.design.baselines import unimax_mixture as unimax_mixture
from mixlaw.design.proposal import propose as propose
