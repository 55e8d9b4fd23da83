#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "check.hpp"
#include "mixlaw/json_lines.hpp"
#include "utf8.hpp"

namespace {

using namespace mixlaw;

struct Found {
  std::vector<std::string> texts;
  std::vector<std::int64_t> lines;
  bool operator==(const Found& other) const { return texts == other.texts && lines == other.lines; }
};

// Both buffers are as long as they have to be, so that AddressSanitizer sees what goes beyond them.
std::optional<Found> found(const std::string& block, const std::string& field = "text") {
  const auto in = std::make_unique<std::uint8_t[]>(block.size());
  const auto out = std::make_unique<std::uint8_t[]>(block.size());
  std::copy(block.begin(), block.end(), in.get());
  const std::optional<LineTexts> texts = json_line_texts(in.get(), block.size(), field, out.get());
  if (!texts) return {};
  Found result{{}, texts->lines};
  CHECK(texts->borders.size() == texts->lines.size() + 1 && texts->borders[0] == 0);
  for (std::size_t i = 0; i < texts->lines.size(); ++i) {
    result.texts.emplace_back(out.get() + texts->borders[i], out.get() + texts->borders[i + 1]);
  }
  return result;
}

std::string quoted(const std::string& text) { return "{\"text\": \"" + text + "\"}"; }

// Whether the line gives the text, with the end of the block at any distance, and other lines around it.
bool gives(const std::string& line, const std::string& text) {
  const std::string more = line + "\n \t\n" + line + "\n" + quoted("next");
  bool right = found(line) == Found{{text}, {0}} && found(line + "\n") == Found{{text}, {0}} &&
               found(more) == Found{{text, text, "next"}, {0, 2, 3}};
  for (std::size_t spaces = 1; spaces <= 17; ++spaces) {
    right = right && found(line + std::string(spaces, ' ')) == Found{{text}, {0}};
  }
  return right;
}

bool refused(const std::string& line, const std::string& field = "text") {
  return !found(line, field) && !found(line + std::string(17, ' '), field) && !found(line + "\n", field) &&
         !found(quoted("before") + "\n" + line + "\n" + quoted("behind"), field);
}

std::string escaped(std::uint32_t unit) {
  char text[7];
  std::snprintf(text, sizeof text, unit % 2 == 0 ? "\\u%04x" : "\\u%04X", unit);
  return text;
}

void test_each_line_that_is_not_blank_is_a_document() {
  CHECK(found("") == Found{});
  CHECK(found("\n\n \n\t") == Found{});
  CHECK(found(quoted("a")) == (Found{{"a"}, {0}}));
  CHECK(found("\n" + quoted("a") + "\n\n \t\n" + quoted("") + "\n" + quoted("b") + "\n\n") ==
        (Found{{"a", "", "b"}, {1, 4, 5}}));
  CHECK(gives("\t { \"text\"\t: \"a b\" \t} ", "a b"));
}

void test_other_fields_are_passed_over() {
  for (const std::string value : {"0",
                                  "-0",
                                  "12",
                                  "-1.50",
                                  "1e9",
                                  "0E+1",
                                  "1.25e-300",
                                  "1e999",
                                  "true",
                                  "false",
                                  "null",
                                  "\"\"",
                                  "\"}\"",
                                  "\"\\\"text\\\": \\\\\"",
                                  "[]",
                                  "{}",
                                  "[ ]",
                                  "{ }",
                                  "[1, [2,3], {\"text\": 4}, \"]\"]",
                                  "{\"text\": \"inner\", \"text\": {\"a\": [{}, []]}}",
                                  "[[[]], [{\"a\":[{}]}]]",
                                  "[{\"a\": 1}, [1, 2], {\"a\": 1}]"}) {
    CHECK(gives("{\"x\": " + value + ", \"text\": \"a\"}", "a"));
    CHECK(gives("{\"text\":\"a\",\"x\":" + value + "}", "a"));
    CHECK(gives("{\"\":" + value + ",\"text\":\"a\",\"x\" : " + value + " , \"x\": [" + value + "]}", "a"));
  }
  CHECK(gives("{\"texts\": 1, \"tex\": 2, \"text\\u0000\": 3, \"Text\": 4, \"text\": \"a\"}", "a"));
}

void test_a_name_may_be_any_and_written_with_escapes() {
  CHECK(gives("{\"te\\u0078t\": \"a\"}", "a"));
  CHECK(found("{\"\": \"a\"}", "") == (Found{{"a"}, {0}}));
  CHECK(found("{\"\\\"\\ud83d\\ude00\": \"a\"}", "\"\U0001F600") == (Found{{"a"}, {0}}));
  CHECK(found("{\"a\\u0000b\": \"a\"}", std::string("a\0b", 3)) == (Found{{"a"}, {0}}));
  CHECK(refused("{\"text\": \"a\", \"t\\u0065xt\": \"a\"}"));
  CHECK(refused("{\"text\": \"a\"}", "texts"));
  CHECK(refused("{\"\\ud800\": \"a\"}", "\xED\xA0\x80"));
  CHECK(refused("{\"\xED\xA0\x80\": \"a\"}", "\xED\xA0\x80"));
}

void test_escapes_stand_anywhere() {
  const std::string before(20, 'x');
  for (std::size_t length = 0; length <= before.size(); ++length) {
    const std::string some = before.substr(0, length);
    CHECK(gives(quoted(some + "\\\"\\\\\\/\\b\\f\\n\\r\\t" + some), some + "\"\\/\b\f\n\r\t" + some));
    CHECK(gives(quoted(some + "\\u00e9\\uD83D\\uDE00" + some), some + "\u00e9\U0001F600" + some));
    CHECK(gives(quoted(some + "\u00e9\u2603\U0001F600" + some), some + "\u00e9\u2603\U0001F600" + some));
    CHECK(gives(quoted(some + "\x7f" + some), some + "\x7f" + some));
    CHECK(refused(quoted(some + "\\u12g4")) && refused(quoted(some + "\\u123")) && refused(quoted(some + "\\U1234")));
  }
}

void test_every_byte_in_a_string_and_behind_a_backslash() {
  const std::string letters = "\"\\/bfnrt";
  const std::string meanings = "\"\\/\b\f\n\r\t";
  const std::string before(8, 'x');
  for (unsigned value = 0; value < 256; ++value) {
    const char byte = static_cast<char>(value);
    for (std::size_t length = 0; length <= before.size(); ++length) {
      const std::string some = before.substr(0, length);
      const bool plain = value >= 0x20 && value < 0x80 && byte != '"' && byte != '\\';
      CHECK(plain ? gives(quoted(some + byte + some), some + byte + some) : refused(quoted(some + byte + some)));
      const std::size_t letter = letters.find(byte);
      CHECK(letter == std::string::npos ? refused(quoted(some + "\\" + byte + some))
                                        : gives(quoted(some + "\\" + byte + some), some + meanings[letter] + some));
    }
    // No byte but a space or tab may be added between tokens, nor behind them.
    const bool space = byte == ' ' || byte == '\t';
    CHECK(found(std::string("{\"text\"") + byte + ":\"a\"}").has_value() == space);
    CHECK(found(quoted("a") + byte).has_value() == (space || byte == '\n'));
    CHECK(found(std::string(1, byte) + quoted("a")).has_value() == (space || byte == '\n'));
  }
}

void test_all_of_unicode_is_taken_and_nothing_else() {
  std::string all;
  std::string all_escaped;
  std::string texts;
  for (std::uint32_t code = 0x20; code < 0x110000; ++code) {
    if (code == '"' || code == '\\' || test::is_half_pair(code)) continue;
    all += test::utf8(code);
    if (code < 0x10000) {
      all_escaped += escaped(code);
      texts += test::utf8(code);
    } else if (code % 255 == 0) {
      all_escaped += escaped(0xD800 + ((code - 0x10000) >> 10)) + escaped(0xDC00 + (code & 0x3FF));
      texts += test::utf8(code);
    }
  }
  CHECK(found(quoted(all)) == (Found{{all}, {0}}));
  CHECK(found(quoted(all_escaped)) == (Found{{texts}, {0}}));
  for (std::uint32_t code = 0xD800; code < 0xE000; ++code) {
    CHECK(!found(quoted(escaped(code))) && !found(quoted(escaped(code) + "\\u0041")));
    CHECK(!found(quoted(escaped(code) + "\\n")) && !found(quoted(escaped(code) + escaped(0xDBFF))));
    CHECK(!found(quoted(escaped(code) + escaped(0xE000))));
    CHECK(found(quoted(escaped(code) + escaped(0xDC00))).has_value() == (code < 0xDC00));
    CHECK(found(quoted(escaped(code) + escaped(0xDFFF))).has_value() == (code < 0xDC00));
    CHECK(!found(quoted(test::utf8(code))));
  }
  // Two and three bytes in all combinations of what a check may tell apart, and four around the limits.
  for (unsigned lead = 0x80; lead < 256; ++lead) {
    for (const unsigned second : {0x41u, 0x7Fu, 0x80u, 0x8Fu, 0x90u, 0x9Fu, 0xA0u, 0xBFu, 0xC0u, 0xFFu}) {
      for (const unsigned third : {0x41u, 0x7Fu, 0x80u, 0xBFu, 0xC0u}) {
        for (const unsigned fourth : {0x41u, 0x7Fu, 0x80u, 0xBFu, 0xC0u}) {
          const auto goes_on = [](unsigned byte) { return byte >= 0x80 && byte < 0xC0; };
          const bool ends = third < 0x80 && fourth < 0x80;
          const unsigned code = (lead & 15) << 12 | (second & 63) << 6 | (third & 63);
          const bool two = lead >= 0xC2 && lead < 0xE0 && goes_on(second) && ends;
          const bool three = lead >= 0xE0 && lead < 0xF0 && goes_on(second) && goes_on(third) && code >= 0x800 &&
                             !test::is_half_pair(code) && fourth < 0x80;
          const unsigned plane = (lead & 7) << 2 | (second & 63) >> 4;
          const bool four = lead >= 0xF0 && lead < 0xF8 && goes_on(second) && goes_on(third) && goes_on(fourth) &&
                            plane >= 1 && plane <= 16;
          std::string bytes;
          for (const unsigned byte : {lead, second, third, fourth}) bytes += static_cast<char>(byte);
          CHECK(found(quoted(bytes)).has_value() == (two || three || four));
        }
      }
    }
  }
}

void test_what_is_no_object_with_the_text_is_refused() {
  for (const char* line : {
           "{}",
           "{ }",
           "[]",
           "12",
           "\"text\"",
           "null",
           "{",
           "}",
           "x",
           "{\"x\": 1}",
           "{\"text\": null}",
           "{\"text\": 12}",
           "{\"text\": [\"a\"]}",
           "{\"text\": {\"text\": \"a\"}}",
           "{\"text\": true}",
           "[{\"text\": \"a\"}]",
           "{\"x\": {\"text\": \"a\"}}",
           "{\"text\": \"a\", \"text\": \"b\"}",
           "{\"text\": \"a\", \"text\": 1}",
           "{\"text\": 1, \"text\": \"a\"}",
           "{\"text\" \"a\"}",
           "{\"text\":: \"a\"}",
           "{\"text\": \"a\"",
           "{\"text\": \"a\",}",
           "{,\"text\": \"a\"}",
           "{\"text\": \"a\"]",
           "{\"text\": \"a\"}}",
           "{\"text\": \"a\"}{\"text\": \"b\"}",
           "{\"text\": \"a\"} {\"text\": \"b\"}",
           "{\"text\": \"a\"},",
           "{\"text\": \"a\"} x",
           "{text: \"a\"}",
           "{'text': 'a'}",
           "{\"text\": 'a'}",
           "{\"text\": \"a\" \"x\": 1}",
           "{\"text\": \"a\", 1: 1}",
           "{\"text\": \"a\", \"x\"}",
           "{\"text\": \"a\", \"x\":}",
           "\xEF\xBB\xBF{\"text\": \"a\"}",
           "{\"text\": \"a\" /* */}",
           "{\"text\":\r\"a\"}",
           "{\"text\": \"a\"}\r",
       }) {
    CHECK(refused(line));
  }
  for (const char* value :
       {"01",    "-",         "-x",       "+1",          ".5",       "1.",         "1.e1",      "1e",  "1e+",
        "1e+-1", "0x1",       "1_0",      "--1",         "NaN",      "Infinity",   "-Infinity", "nan", "True",
        "tru",   "truee",     "nul",      "fals",        "[1,]",     "[,1]",       "[1 2]",     "[",   "]",
        "[1}",   "{\"a\":1]", "{1:1}",    "{\"a\"}",     "{\"a\":}", "{\"a\":1,}", "{,}",       "[[]", "[]]",
        "\"a",   "\"\\x\"",   "\"\xff\"", "\"\\ud800\"", "\"\t\"",   "",           ",",         ":"}) {
    CHECK(refused(std::string("{\"text\": \"a\", \"x\": ") + value + "}"));
    CHECK(refused(std::string("{\"x\": ") + value + ", \"text\": \"a\"}"));
    CHECK(refused(std::string("{\"x\": [") + value + (*value == 0 ? "1,]" : "]") + ", \"text\": \"a\"}"));
  }
}

void test_no_beginning_of_a_line_is_taken() {
  const std::string line =
      "{\"x\": [1.5e-7, {\"y\": [true, false, null]}, \"\\u00e9\u00e9\u2603\"], \"text\": \"a\\n\U0001F600\", \"z\": "
      "{}}";
  CHECK(found(line).has_value());
  for (std::size_t length = 1; length < line.size(); ++length) CHECK(!found(line.substr(0, length)));
}

void test_levels_and_long_numbers_are_limited() {
  const auto nested = [](std::size_t levels, const std::string& open, const std::string& close) {
    std::string line = "{\"x\": ";
    for (std::size_t level = 0; level < levels; ++level) line += open;
    line += "1";
    for (std::size_t level = 0; level < levels; ++level) line += close;
    return line + ", \"text\": \"a\"}";
  };
  CHECK(gives(nested(64, "[", "]"), "a") && gives(nested(64, "{\"y\": ", "}"), "a"));
  CHECK(gives(nested(32, "[{\"text\": ", "}]"), "a"));
  CHECK(refused(nested(65, "[", "]")) && refused(nested(65, "{\"y\": ", "}")));
  CHECK(refused("{\"text\": \"a\", \"x\": " + std::string(1000000, '[')));
  CHECK(gives("{\"text\": \"a\", \"x\": " + std::string(640, '1') + "}", "a"));
  CHECK(refused("{\"text\": \"a\", \"x\": " + std::string(641, '1') + "}"));
}

}  // namespace

int main() {
  test_each_line_that_is_not_blank_is_a_document();
  test_other_fields_are_passed_over();
  test_a_name_may_be_any_and_written_with_escapes();
  test_escapes_stand_anywhere();
  test_every_byte_in_a_string_and_behind_a_backslash();
  test_all_of_unicode_is_taken_and_nothing_else();
  test_what_is_no_object_with_the_text_is_refused();
  test_no_beginning_of_a_line_is_taken();
  test_levels_and_long_numbers_are_limited();
  return mixlaw::test::finish();
}
