#include "mixlaw/json_lines.hpp"

#include <array>
#include <cstring>

#include "mixlaw/little_endian.hpp"

namespace mixlaw {
namespace {

constexpr unsigned most_levels = 64;
// Python refuses integers of more digits than a limit that can be set, to no less than this.
constexpr std::ptrdiff_t longest_number = 640;

// What the letter of an escape stands for; 0 if it is none, or u.
constexpr std::array<std::uint8_t, 256> make_escapes() {
  std::array<std::uint8_t, 256> escapes{};
  for (const char same : {'"', '\\', '/'}) escapes[static_cast<std::uint8_t>(same)] = static_cast<std::uint8_t>(same);
  escapes['b'] = '\b';
  escapes['f'] = '\f';
  escapes['n'] = '\n';
  escapes['r'] = '\r';
  escapes['t'] = '\t';
  return escapes;
}

constexpr std::uint32_t no_digit = 0x10000;

// Values of hexadecimal digits; `no_digit` for other characters.
constexpr std::array<std::uint32_t, 256> make_hex_digits() {
  std::array<std::uint32_t, 256> digits{};
  for (std::uint32_t& digit : digits) digit = no_digit;
  for (unsigned digit = 0; digit < 10; ++digit) digits['0' + digit] = digit;
  for (unsigned digit = 10; digit < 16; ++digit) digits['a' + digit - 10] = digits['A' + digit - 10] = digit;
  return digits;
}

constexpr auto escapes = make_escapes();
constexpr auto hex_digits = make_hex_digits();

constexpr bool is_digit(std::uint8_t byte) { return byte >= '0' && byte <= '9'; }
constexpr bool goes_on(std::uint8_t byte) { return (byte & 0xC0) == 0x80; }

// Bytes of the character of UTF-8 that begins at `in`, if it has more than one; else 0.
std::size_t character_size(const std::uint8_t* in, const std::uint8_t* end) {
  const std::uint8_t lead = in[0];
  const std::ptrdiff_t left = end - in;
  if (lead < 0xE0) return lead >= 0xC2 && left >= 2 && goes_on(in[1]) ? 2 : 0;
  if (lead < 0xF0) {
    if (left < 3 || !goes_on(in[1]) || !goes_on(in[2])) return 0;
    // Neither longer than it has to be, nor half a surrogate pair.
    return (lead == 0xE0 && in[1] < 0xA0) || (lead == 0xED && in[1] >= 0xA0) ? 0 : 3;
  }
  if (lead > 0xF4 || left < 4 || !goes_on(in[1]) || !goes_on(in[2]) || !goes_on(in[3])) return 0;
  return (lead == 0xF0 && in[1] < 0x90) || (lead == 0xF4 && in[1] >= 0x90) ? 0 : 4;
}

std::uint8_t* put_character(std::uint8_t* out, std::uint32_t code) {
  const auto rest = [code](unsigned shift) { return static_cast<std::uint8_t>(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x80) {
    *out++ = static_cast<std::uint8_t>(code);
  } else if (code < 0x800) {
    *out++ = static_cast<std::uint8_t>(0xC0 | code >> 6);
    *out++ = rest(0);
  } else if (code < 0x10000) {
    *out++ = static_cast<std::uint8_t>(0xE0 | code >> 12);
    *out++ = rest(6);
    *out++ = rest(0);
  } else {
    *out++ = static_cast<std::uint8_t>(0xF0 | code >> 18);
    *out++ = rest(12);
    *out++ = rest(6);
    *out++ = rest(0);
  }
  return out;
}

constexpr std::size_t step = sizeof(std::uint64_t);

// Copies a step of bytes, and returns how many of them go on with a string as they are: up to a quote, a backslash, a
// control character or a byte that is not ASCII.
std::size_t copy_plain(const std::uint8_t* in, std::uint8_t* out) {
  constexpr std::uint64_t ones = 0x0101010101010101u;
  const std::uint64_t bytes = load_u64(in);
  std::memcpy(out, in, step);
  // The high bit of a byte says that it is another. Those above the lowest may be wrong, for what was borrowed there.
  const std::uint64_t others =
      (bytes | (bytes - ones * ' ') | ((bytes ^ ones * '"') - ones) | ((bytes ^ ones * '\\') - ones)) & ones * 0x80;
  return others == 0 ? step : static_cast<std::size_t>(__builtin_ctzll(others)) / 8;
}

bool is_plain(std::uint8_t byte) { return byte >= ' ' && byte < 0x80 && byte != '"' && byte != '\\'; }

// Goes through a block once. Functions return false, or nothing, at what is refused.
class Parser {
 public:
  Parser(const std::uint8_t* block, std::size_t size, std::string_view field, std::uint8_t* text)
      : in_(block), end_(block + size), field_(field), text_(text), out_(text) {}

  std::optional<LineTexts> parse() {
    LineTexts texts;
    texts.borders.push_back(0);
    for (std::int64_t line = 0; in_ != end_; ++line) {
      spaces();
      if (next() == '{') {
        ++in_;
        if (!object()) return {};
        texts.borders.push_back(out_ - text_);
        texts.lines.push_back(line);
        spaces();
      }
      if (in_ == end_) break;
      if (*in_++ != '\n') return {};
    }
    return texts;
  }

 private:
  // The byte to come; 0, which nothing takes outside of strings, at the end of the block.
  std::uint8_t next() const { return in_ == end_ ? std::uint8_t{0} : *in_; }

  bool take(std::uint8_t byte) {
    if (next() != byte) return false;
    ++in_;
    return true;
  }

  void spaces() {
    while (in_ != end_ && (*in_ == ' ' || *in_ == '\t')) ++in_;
  }

  // The object of a line, behind its brace; its text goes to `out_`.
  bool object() {
    bool found = false;
    do {
      bool wanted = false;
      if (!key(wanted)) return false;
      if (wanted) {
        spaces();
        if (found || !take('"')) return false;
        out_ = string();
        if (out_ == nullptr) return false;
        found = true;
      } else if (!value()) {
        return false;
      }
      spaces();
    } while (take(','));
    return found && take('}');
  }

  // A key and its colon; whether it is the field.
  bool key(bool& wanted) {
    spaces();
    if (!take('"')) return false;
    const std::uint8_t* const name_end = string();
    if (name_end == nullptr) return false;
    const std::string_view name(reinterpret_cast<const char*>(out_), static_cast<std::size_t>(name_end - out_));
    wanted = name == field_;
    spaces();
    return take(':');
  }

  // A value whatever it holds.
  bool value() {
    std::uint64_t objects = 0;  // bit d: whether level d is an object, not an array
    unsigned levels = 0;
    bool ignored = false;
    for (;;) {
      spaces();
      const std::uint8_t first = next();
      if (first == '{' || first == '[') {
        ++in_;
        spaces();
        const bool is_object = first == '{';
        if (!take(is_object ? '}' : ']')) {
          if (levels == most_levels) return false;
          objects = (objects & ~(std::uint64_t{1} << levels)) | std::uint64_t{is_object} << levels;
          ++levels;
          if (is_object && !key(ignored)) return false;
          continue;
        }
      } else if (!scalar(first)) {
        return false;
      }
      // Behind a value.
      for (;; --levels) {
        if (levels == 0) return true;
        const bool is_object = (objects >> (levels - 1) & 1) != 0;
        spaces();
        if (take(',')) {
          if (is_object && !key(ignored)) return false;
          break;
        }
        if (!take(is_object ? '}' : ']')) return false;
      }
    }
  }

  bool scalar(std::uint8_t first) {
    switch (first) {
      case '"':
        ++in_;
        return string() != nullptr;
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  bool word(std::string_view expected) {
    if (static_cast<std::size_t>(end_ - in_) < expected.size() ||
        std::memcmp(in_, expected.data(), expected.size()) != 0) {
      return false;
    }
    in_ += expected.size();
    return true;
  }

  bool number() {
    const std::uint8_t* const begin = in_;
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      if (!digits()) return false;
    }
    return in_ - begin <= longest_number;
  }

  bool digits() {
    if (!is_digit(next())) return false;
    while (is_digit(next())) ++in_;
    return true;
  }

  // Writes a string, behind its first quote, to `out_`, and returns where it ends there; nullptr if it is refused. What
  // is written never gets ahead of what is read, so that a whole step of it fits wherever one can be read.
  std::uint8_t* string() {
    std::uint8_t* out = out_;
    for (;;) {
      if (static_cast<std::size_t>(end_ - in_) >= step) {
        const std::size_t plain = copy_plain(in_, out);
        in_ += plain;
        out += plain;
        if (plain == step) continue;
      } else {
        while (in_ != end_ && is_plain(*in_)) *out++ = *in_++;
        if (in_ == end_) return nullptr;
      }
      if (*in_ == '"') {
        ++in_;
        return out;
      }
      if (*in_ == '\\') {
        out = escape(out);
        if (out == nullptr) return nullptr;
        continue;
      }
      do {
        const std::size_t size = character_size(in_, end_);
        if (size == 0) return nullptr;
        for (std::size_t i = 0; i < size; ++i) out[i] = in_[i];
        in_ += size;
        out += size;
      } while (in_ != end_ && *in_ >= 0x80);
    }
  }

  std::uint8_t* escape(std::uint8_t* out) {
    if (end_ - in_ < 2) return nullptr;
    if (in_[1] != 'u') {
      *out = escapes[in_[1]];
      in_ += 2;
      return *out == 0 ? nullptr : out + 1;
    }
    std::uint32_t code = code_unit();
    if (code >= 0xD800 && code < 0xDC00) {
      const std::uint32_t low = code_unit();
      if (low < 0xDC00 || low >= 0xE000) return nullptr;
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xDC00 && (code < 0xE000 || code >= no_digit)) {
      return nullptr;
    }
    return put_character(out, code);
  }

  // The value of an escape \u, which `in_` is moved behind; `no_digit` or more if there is none.
  std::uint32_t code_unit() {
    if (end_ - in_ < 6 || in_[0] != '\\' || in_[1] != 'u') return no_digit;
    const std::uint32_t high = hex_digits[in_[2]] << 12 | hex_digits[in_[3]] << 8;
    const std::uint32_t low = hex_digits[in_[4]] << 4 | hex_digits[in_[5]];
    in_ += 6;
    return high | low;
  }

  const std::uint8_t* in_;
  const std::uint8_t* const end_;
  const std::string_view field_;
  std::uint8_t* const text_;
  std::uint8_t* out_;
};

}  // namespace

std::optional<LineTexts> json_line_texts(const std::uint8_t* block, std::size_t size, std::string_view field,
                                         std::uint8_t* text) {
  return Parser(block, size, field, text).parse();
}

}  // namespace mixlaw
