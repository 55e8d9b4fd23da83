// One function a topic, which adds that topic to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace mixlaw::bindings {

void bind_json(pybind11::module_& module);
void bind_ngram(pybind11::module_& module);

}  // namespace mixlaw::bindings
