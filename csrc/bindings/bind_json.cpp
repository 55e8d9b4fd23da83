#include <pybind11/numpy.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "bindings.hpp"
#include "mixlaw/json_lines.hpp"

namespace mixlaw::bindings {
namespace {

namespace py = pybind11;

py::array_t<std::int64_t> as_array(const std::vector<std::int64_t>& values) {
  return py::array_t<std::int64_t>(static_cast<py::ssize_t>(values.size()), values.data());
}

py::object texts(const py::bytes& block, const py::bytes& field) {
  const auto lines = static_cast<std::string_view>(block);
  const auto name = static_cast<std::string_view>(field);
  py::array_t<std::uint8_t> data(static_cast<py::ssize_t>(lines.size()));
  std::uint8_t* const out = data.mutable_data();
  std::optional<LineTexts> found;
  {
    const py::gil_scoped_release release;
    found = json_line_texts(reinterpret_cast<const std::uint8_t*>(lines.data()), lines.size(), name, out);
  }
  if (!found) return py::none();
  data.resize({found->borders.back()}, false);
  return py::make_tuple(std::move(data), as_array(found->borders), as_array(found->lines));
}

constexpr const char* texts_doc = R"(Take the text out of lines of JSON.

Parameters
----------
block
    Whole lines, each ended by a line feed; the last may lack it.
field
    Name of the field that holds the text, in UTF-8.

Returns
-------
data, borders, lines
    The texts of all lines that are not blank, end to end in UTF-8, uint8; where they begin and end in it, int64, shape
    (documents + 1,); and which lines they stand in, counted from 0, int64, shape (documents,). None unless every other
    line is one object with the field once, a string, in JSON as RFC 8259 has it; and for some that are, which `json`
    takes: see `mixlaw/json_lines.hpp`.)";

}  // namespace

void bind_json(py::module_& module) {
  module.def("json_line_texts", &texts, py::arg("block"), py::arg("field"), texts_doc);
}

}  // namespace mixlaw::bindings
