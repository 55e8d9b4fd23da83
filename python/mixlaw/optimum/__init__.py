"""From a fitted law, an objective and constraints to the best mixture; see `mixlaw.optimize`."""

from mixlaw.optimum.constraints import GroupBound as GroupBound
from mixlaw.optimum.constraints import RatioBound as RatioBound
from mixlaw.optimum.pareto import Front as Front
from mixlaw.optimum.pareto import pareto as pareto
from mixlaw.optimum.problem import optimize as optimize
from mixlaw.optimum.result import Optimum as Optimum
