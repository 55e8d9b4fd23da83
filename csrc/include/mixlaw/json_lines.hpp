// JSON Lines: the text in one field of each line's object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace mixlaw {

// Documents, one from each line that is not blank.
struct LineTexts {
  std::vector<std::int64_t> borders;  // where they begin and end in the text: one more than documents
  std::vector<std::int64_t> lines;    // which lines of the block they stand in, counted from 0
};

// Writes the strings in field `field` of the objects that the lines of `block` are to `text`, end to end, in UTF-8.
// `text` must have room for `size` bytes, all of which may be written to. A line ends at a line feed or with the block;
// it is blank if it holds only spaces and tabs.
//
// Nothing is returned unless each other line is one object of RFC 8259, in UTF-8, with the field once and a string in
// it. Refused beyond that are what other parsers may take differently or limit: half a surrogate pair as an escape,
// carriage returns between tokens, more than 64 levels in the value of another field, and numbers of more than 640
// characters.
std::optional<LineTexts> json_line_texts(const std::uint8_t* block, std::size_t size, std::string_view field,
                                         std::uint8_t* text);

}  // namespace mixlaw
