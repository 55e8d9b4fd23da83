// What the tests need of a test framework. A test is a function; main calls all of them and returns finish().
#pragma once

#include <cstdio>
#include <exception>
#include <string>

namespace mixlaw::test {

// ThreadSanitizer makes code some fifteen times slower. Then tests that are about values rather than threads are left
// out.
#ifdef __SANITIZE_THREAD__
inline constexpr bool threads_alone = true;
#else
inline constexpr bool threads_alone = false;
#endif

inline int failures = 0;

inline void fail(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  ++failures;
}

inline int finish() {
  if (failures > 0) std::fprintf(stderr, "%d checks failed\n", failures);
  return failures > 0 ? 1 : 0;
}

// Calls `call`, which must throw an Expected whose message contains `text`.
template <class Expected, class Call>
void check_throws(const char* file, int line, const std::string& text, Call&& call) {
  try {
    call();
  } catch (const Expected& error) {
    if (std::string(error.what()).find(text) == std::string::npos) {
      fail(file, line, std::string("the message lacks \"") + text + "\": " + error.what());
    }
    return;
  } catch (const std::exception& error) {
    fail(file, line, std::string("threw another exception: ") + error.what());
    return;
  }
  fail(file, line, "threw nothing, expected \"" + text + "\"");
}

}  // namespace mixlaw::test

#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) ::mixlaw::test::fail(__FILE__, __LINE__, "not true: " #condition); \
  } while (false)

#define CHECK_THROWS(Expected, text, ...) \
  ::mixlaw::test::check_throws<Expected>(__FILE__, __LINE__, text, [&] { __VA_ARGS__; })
