#include <pybind11/pybind11.h>

#include "bindings.hpp"
#include "mixlaw/kernels.hpp"

PYBIND11_MODULE(_core, module) {
  module.doc() = "The compiled core of mixlaw.";
  module.def(
      "simd_level", [] { return mixlaw::kernels().level; },
      "The level of vector instructions in use; ValueError if MIXLAW_SIMD names one that the machine lacks.");
  mixlaw::bindings::bind_json(module);
  mixlaw::bindings::bind_ngram(module);
}
