// The reader of JSON Lines and a plain one, which do the same: lines that are JSON but for some of their parts.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "input.hpp"
#include "mixlaw/json_lines.hpp"
#include "utf8.hpp"

namespace {

using namespace mixlaw;

constexpr const char* field = "t";

// Writes lines that are JSON but for some of their parts, as an input says. Behind its end are zeros, which end all.
class Writer {
 public:
  explicit Writer(fuzz::Input& input) : input_(input) {}

  std::string block() {
    while (!input_.empty()) line();
    return block_;
  }

 private:
  std::string any(std::initializer_list<const char*> pieces) { return pieces.begin()[input_.u8() % pieces.size()]; }

  void spaces() { block_ += any({"", "", "", "", " ", "\t ", "  ", "\r", "\n"}); }

  void line() {
    if (input_.u8() % 8 == 7) {
      block_ += any({" \t", "\xEF\xBB\xBF", "{", "12", "{}"});
    } else {
      object(0, true);
    }
    spaces();
    block_ += any({"\n", "\n", "\n", "\n", "\n\n", "", ",", "}"});
  }

  void object(unsigned levels, bool has_text) {
    const unsigned before = input_.u8() % 3;
    const unsigned behind = input_.u8() % 3;
    block_ += '{';
    for (unsigned i = 0; i < before + has_text + behind; ++i) {
      const bool is_text = has_text && i == before;
      if (i > 0) block_ += any({",", ",", ",", ",", ",", ",", ",", ", ", " ,", "", ",,"});
      spaces();
      block_ += is_text ? any({"\"t\"", "\"t\"", "\"\\u0074\""}) : any({"\"x\"", "\"\"", "\"t\"", "\"tt\"", "t"});
      spaces();
      block_ += any({":", ":", ":", ":", ":", ":", ":", ": ", " :", "", "::"});
      if (is_text && input_.u8() % 16 < 15) {
        string();
      } else {
        value(levels + 1);
      }
      spaces();
    }
    block_ += any({"}", "}", "}", "}", "}", "}", "}", "]", ",}", ""});
  }

  void value(unsigned levels) {
    const unsigned kind = levels > 8 ? 0 : input_.u8() % 8;
    if (kind < 2) {
      number();
    } else if (kind == 2) {
      string();
    } else if (kind == 3) {
      object(levels, false);
    } else if (kind == 4) {
      block_ += '[';
      for (unsigned items = input_.u8() % 4; items > 0; --items) {
        value(levels + 1);
        if (items > 1) block_ += any({",", ",", ",", " , ", ""});
      }
      block_ += any({"]", "]", "]", "]", "]", "]", "}", ",]"});
    } else if (kind == 5) {
      const unsigned most = 60 + input_.u8() % 8;
      const bool objects = input_.u8() % 2 == 1;
      for (unsigned i = 0; i < most; ++i) block_ += objects ? "{\"x\":" : "[";
      value(9);
      for (unsigned i = 0; i < most; ++i) block_ += objects ? '}' : ']';
    } else {
      block_ += any({"true", "false", "null", "[]", "{}", "[ ]", "{ }", "tru", "nulls", "NaN", ""});
    }
  }

  void number() {
    block_ += any({"", "", "-", "+", "--"});
    block_ += any({"0", "7", "12", "10", "01", "", "x"});
    if (input_.u8() % 8 == 7) block_ += std::string(636 + input_.u8() % 6, '1');
    block_ += any({"", "", ".5", ".05", ".", ".e"});
    block_ += any({"", "", "e7", "E07", "e+7", "E-7", "e", "e+", "e+-7"});
  }

  void string() {
    block_ += '"';
    for (unsigned kind = input_.u8() % 16; kind > 0; kind = input_.u8() % 16) {
      char unit[7];
      if (kind < 5) {
        block_ += any({"a", "bcd", "twelve bytes", "sixteen bytes..."});
      } else if (kind < 7) {
        block_ += any({"\\n", "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\r", "\\t", "\\x", "\\", "\\u12"});
      } else if (kind < 9) {
        block_ += test::utf8(static_cast<std::uint32_t>(input_.u16()) * (kind == 7 ? 1 : 17));
      } else if (kind < 11) {
        std::snprintf(unit, sizeof unit, kind == 9 ? "\\u%04x" : "\\u%04X", static_cast<unsigned>(input_.u16()));
        block_ += unit;
      } else if (kind < 14) {
        // Around both ends of both halves of surrogate pairs.
        const std::string high = any({"\\ud800", "\\udbff", "\\uD83D", "\\ud7ff", "\\udc00"});
        block_ += high + any({"\\udc00", "\\udfff", "\\uDE00", "\\udbff", "\\ue000", "", "\\n"});
      } else if (kind == 14) {
        block_ += static_cast<char>(input_.u8());
      } else {
        for (const char* bytes : {"\xED\xA0\x80", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xC1\xBF"}) {
          if (input_.u8() % 4 == 1) block_ += bytes;
        }
      }
    }
    block_ += any({"\"", "\"", "\"", "\"", "\"", "\"", "\"", "'"});
  }

  fuzz::Input& input_;
  std::string block_;
};

struct Refused {};

std::u32string decoded(const std::string& bytes) {
  std::u32string text;
  for (std::size_t at = 0; at < bytes.size();) {
    const auto lead = static_cast<std::uint8_t>(bytes[at]);
    const std::size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    std::uint32_t code = size == 1 ? lead : lead & (0x7Fu >> size);
    const std::string character = bytes.substr(at, size);
    for (std::size_t i = 1; i < character.size(); ++i) code = code << 6 | (character[i] & 0x3F);
    if (code > 0x10FFFF || test::is_half_pair(code) || test::utf8(code) != character) throw Refused();
    text += code;
    at += size;
  }
  return text;
}

// Reads a line by the rules of RFC 8259, one character after the other; throws Refused.
class Plain {
 public:
  explicit Plain(const std::string& line) : line_(decoded(line)) {}

  std::u32string text() {
    std::optional<std::u32string> found;
    spaces();
    take('{');
    do {
      const std::u32string key = name();
      const bool wanted = key == decoded(field);
      spaces();
      if (wanted && (found || peek() != '"')) throw Refused();
      if (wanted) {
        found = string();
      } else {
        value(0);
      }
      spaces();
    } while (taken(','));
    take('}');
    spaces();
    if (at_ != line_.size() || !found) throw Refused();
    return *found;
  }

 private:
  char32_t peek() const { return at_ < line_.size() ? line_[at_] : U'\0'; }

  bool taken(char32_t character) {
    if (peek() != character) return false;
    ++at_;
    return true;
  }

  void take(char32_t character) {
    if (at_ == line_.size() || !taken(character)) throw Refused();
  }

  void spaces() {
    while (taken(' ') || taken('\t')) {
    }
  }

  std::u32string name() {
    spaces();
    const std::u32string key = string();
    spaces();
    take(':');
    return key;
  }

  std::u32string string() {
    std::u32string text;
    take('"');
    while (!taken('"')) {
      if (peek() < ' ') throw Refused();
      if (taken('\\')) {
        text += escape();
      } else {
        text += line_[at_++];
      }
    }
    return text;
  }

  char32_t escape() {
    const std::u32string letters = U"\"\\/bfnrtu";
    const std::size_t letter = letters.find(peek());
    if (letter == std::u32string::npos) throw Refused();
    ++at_;
    if (letter < 8) return U"\"\\/\b\f\n\r\t"[letter];
    const std::uint32_t unit = code_unit();
    if (!test::is_half_pair(unit)) return unit;
    take('\\');
    take('u');
    const std::uint32_t low = code_unit();
    if (unit >= 0xDC00 || !test::is_half_pair(low) || low < 0xDC00) throw Refused();
    return 0x10000 + (unit - 0xD800) * 0x400 + (low - 0xDC00);
  }

  std::uint32_t code_unit() {
    std::uint32_t unit = 0;
    for (int i = 0; i < 4; ++i) {
      const std::size_t digit = std::u32string(U"0123456789abcdefABCDEF").find(peek());
      if (digit == std::u32string::npos) throw Refused();
      unit = 16 * unit + static_cast<std::uint32_t>(digit < 16 ? digit : digit - 6);
      ++at_;
    }
    return unit;
  }

  void value(unsigned levels) {
    spaces();
    const char32_t first = peek();
    if (first == '"') {
      string();
    } else if (first == '{' || first == '[') {
      ++at_;
      const char32_t close = first == '{' ? '}' : ']';
      spaces();
      if (taken(close)) return;
      if (levels == 64) throw Refused();
      do {
        if (first == '{') name();
        value(levels + 1);
        spaces();
      } while (taken(','));
      take(close);
    } else if (first == 't' || first == 'f' || first == 'n') {
      for (const char32_t letter : std::u32string(first == 't' ? U"true" : first == 'f' ? U"false" : U"null")) {
        take(letter);
      }
    } else {
      number();
    }
  }

  void number() {
    const std::size_t begin = at_;
    taken('-');
    if (!taken('0')) digits();
    if (taken('.')) digits();
    if (taken('e') || taken('E')) {
      if (!taken('+')) taken('-');
      digits();
    }
    if (at_ - begin > 640) throw Refused();
  }

  void digits() {
    const std::size_t begin = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    if (at_ == begin) throw Refused();
  }

  std::u32string line_;
  std::size_t at_ = 0;
};

// Texts and numbers of lines.
using Found = std::vector<std::pair<std::int64_t, std::string>>;

std::optional<Found> plainly(const std::string& block) {
  Found found;
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < block.size(); ++number) {
    const std::size_t end = std::min(block.find('\n', begin), block.size());
    const std::string line = block.substr(begin, end - begin);
    begin = end + 1;
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    try {
      std::string text;
      for (const char32_t character : Plain(line).text()) text += test::utf8(character);
      found.emplace_back(number, text);
    } catch (const Refused&) {
      return {};
    }
  }
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::string block = Writer(input).block();
  // Of their own size, so that AddressSanitizer sees what goes beyond them.
  const auto in = std::make_unique<std::uint8_t[]>(block.size());
  const auto out = std::make_unique<std::uint8_t[]>(block.size());
  std::copy(block.begin(), block.end(), in.get());
  const std::optional<LineTexts> texts = json_line_texts(in.get(), block.size(), field, out.get());
  const std::optional<Found> expected = plainly(block);
  REQUIRE(texts.has_value() == expected.has_value());
  if (!texts) return 0;
  REQUIRE(texts->lines.size() == expected->size() && texts->borders.size() == expected->size() + 1);
  REQUIRE(texts->borders[0] == 0);
  for (std::size_t i = 0; i < expected->size(); ++i) {
    REQUIRE(texts->lines[i] == (*expected)[i].first);
    REQUIRE(texts->borders[i] <= texts->borders[i + 1]);
    REQUIRE(std::string(out.get() + texts->borders[i], out.get() + texts->borders[i + 1]) == (*expected)[i].second);
  }
  return 0;
}
